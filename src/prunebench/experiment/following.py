"""Following: what every process but the first does where several compute a run together (see `team`).

It writes nothing, and ends with the first: by its order, or because a connection was closed.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field

import msgspec

from prunebench.config import Settings
from prunebench.data.dataset import no_downloads
from prunebench.errors import DataError
from prunebench.experiment.experiment import Experiment
from prunebench.experiment.resolve import resolve
from prunebench.experiment.retraining import loss_of
from prunebench.experiment.setup import Setup, set_up
from prunebench.experiment.starts.checkpoints import start_of
from prunebench.experiment.team import BEGIN, Evaluation, Fit, Team, folder_of, met_at
from prunebench.models import checkpoint as checkpoints
from prunebench.models.checkpoint import Checkpoint
from prunebench.runs.digests import nothing_kept
from prunebench.training import state as states
from prunebench.training.distributed import answered_for, join


def follow() -> None:
    """Do what the first process orders, until there is nothing left.

    Raises:
        DataError: data or files are not those of the first process.
        DeviceError: the first process has ended.
    """
    store, rank = met_at()
    while not store.check([BEGIN]):
        time.sleep(0.05)
    where = store.get(BEGIN).decode()
    if where != "end":
        with answered_for(lambda: "The first process has ended"), nothing_kept(), no_downloads():
            group = join(store, rank, int(os.environ["WORLD_SIZE"]), on_gpu=where == "cuda")
            Follower(Team(group)).obey()


@dataclass
class Follower:
    """Carries out orders; data is prepared once for all that are about the same."""

    team: Team
    _experiments: dict[Settings, Experiment] = field(default_factory=dict)
    _setups: dict[object, Setup] = field(default_factory=dict)
    _teacher: Checkpoint | None = None

    def obey(self) -> None:
        """Carry out orders until there is none.

        Raises:
            DataError: data or files are not those of the first process.
        """
        while told := self.team.group.told():
            order = msgspec.msgpack.decode(told, type=Fit | Evaluation)
            self._fit(order) if isinstance(order, Fit) else self._evaluate(order)

    def _fit(self, order: Fit) -> None:
        experiment = self._experiment(order)
        if order.teacher is not None:
            with folder_of(order.teacher) as folder:
                self._teacher = checkpoints.load(folder, experiment.model)
        with folder_of(order.files) as folder:
            state = states.load(folder, experiment.model)
        setup = self._setup(experiment, state.checkpoint)
        setup.fit(state, recipe=order.recipe, loss_of=loss_of(setup, self._dense) if order.distils else None)

    def _evaluate(self, order: Evaluation) -> None:
        experiment = self._experiment(order)
        with folder_of(order.files) as folder:
            state = checkpoints.load(folder, experiment.model)
        self._setup(experiment, state).answered(state, *order.parts, share=order.share)

    def _dense(self) -> Checkpoint:
        assert self._teacher is not None
        return self._teacher

    def _experiment(self, order: Fit | Evaluation) -> Experiment:
        """The experiment of an order, made once."""
        if order.settings not in self._experiments:
            experiment = resolve(order.settings)
            if experiment.dense.key != order.dense:
                raise DataError(
                    f"Here are other data or files than on device 0, where this is {order.dense}; here it would be "
                    f"{experiment.dense.key}. Give all devices the same."
                )
            self._experiments[order.settings] = experiment
        return self._experiments[order.settings]

    def _setup(self, experiment: Experiment, state: Checkpoint) -> Setup:
        """What an experiment needs, with the data prepared as for a checkpoint."""
        about = experiment.settings, repr(state.architecture.inputs), state.tokenizer
        if about not in self._setups:
            self._setups[about] = set_up(experiment, start_of(state), team=self.team)
        return self._setups[about]
