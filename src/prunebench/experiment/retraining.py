"""Retraining: what a pruned model recovers from and by, made when the first step of a run asks for it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import msgspec
from torch import nn

from prunebench.data.task import Batch
from prunebench.errors import ConfigError, Stopped
from prunebench.experiment.setup import Setup
from prunebench.experiment.store import Store
from prunebench.models.checkpoint import Checkpoint
from prunebench.registry import call, reference
from prunebench.runs.reproducibility import differing
from prunebench.seeding import order, seed_all
from prunebench.training.device import memory_for
from prunebench.training.fit import Tick, chunks
from prunebench.training.policies import Loss, Policy, offered, up_to_epoch
from prunebench.training.state import StepState

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Retraining:
    """How the steps of a run are retrained, by its policy.

    Attributes:
        setup: of the run.
        store: where its steps are kept.
        as_begun: () → the setup in which the dense model was trained, which starts where that did.
    """

    setup: Setup
    store: Store
    as_begun: Callable[[], Setup]

    @property
    def policy(self) -> Policy:
        """The run's."""
        return self.setup.experiment.policy

    def fit(self, state: StepState, save: Callable[[StepState], None]) -> StepState:
        """Retrain the pruned model of a step in place, from where it stands; returns what it came to."""
        self.setup.place(state.checkpoint.model)
        teacher = self.teacher if self.loss is not None and self.policy.asks("teacher") else None
        return self.setup.fit(self.begun(state), save, loss_of=self.loss, teacher=teacher)

    def begun(self, state: StepState) -> StepState:
        """A step with what its retraining starts from; one that has begun has that already."""
        start, rewound = self.policy.start, None
        if start is None or (state.epoch, state.batch) != (0, 0):
            return state
        if self.policy.asks("rewound"):
            rewound = self.rewound  # before the clock starts: it was paid for when the dense model was trained
        started = time.perf_counter()
        about = {
            "state": state.checkpoint,
            "rewound": lambda: rewound,
            "fresh": lambda: self.fresh(state),
            "batches": lambda count: self._batches(state.step, count),
            "device": self.setup.device,
        }
        settings = self.setup.experiment.settings
        with memory_for(settings.batch_size, "--batch-size"):
            call(start, {**offered(settings), **about})
        taken = state.seconds.finetune + time.perf_counter() - started
        notes = (*state.notes, *self._told)
        seconds = msgspec.structs.replace(state.seconds, finetune=taken)
        return replace(state, right={}, seconds=seconds, notes=tuple(dict.fromkeys(notes)))

    @cached_property
    def loss(self) -> Loss | None:
        """What is trained; None: the task's loss."""
        if self.policy.loss is None or not self.setup.retraining().epochs:
            return None
        return loss_of(self.setup, lambda: self.teacher)

    @cached_property
    def teacher(self) -> Checkpoint:
        """The dense model, a copy of its own."""
        return self.store.unpruned()

    @cached_property
    def rewound(self) -> Checkpoint:
        """The dense model as it was after `rewind_epoch` epochs of its training, computed anew.

        Raises:
            Stopped: it was asked to stop; the next call begins it again.
        """
        setup, epoch = self.as_begun(), self.setup.experiment.settings.rewind_epoch
        begun = StepState(0, setup.fresh())
        if not epoch:
            return begun.checkpoint
        log.info("computing the dense model's weights after epoch %d of its training anew", epoch)
        return setup.fit(begun, recipe=up_to_epoch(setup.recipe(), epoch)).checkpoint

    def fresh(self, state: StepState) -> Checkpoint:
        """The unpruned model of a step with fresh weights, of the run's seed and the step."""
        experiment, about = self.setup.experiment, state.checkpoint.architecture
        seed_all(experiment.settings.seed, "scratch", state.step)
        return Checkpoint(about, about.build(experiment.model), {})

    def _batches(self, step: int, count: int) -> Iterator[Batch]:
        """Batches of a fixed stratified subset of the training data, as large as in the dense training, in an order
        that is drawn from the run's seed and the step."""
        setup, settings = self.setup, self.setup.experiment.settings
        some = setup.task.targets.some("train", min(count, len(setup.task.targets.some("train"))))
        some = some[order(len(some), settings.seed, "batches", step)]
        parts = chunks(some, settings.batch_size)
        for i, batch in enumerate(setup.task.batches("train", parts, setup.device)):
            setup.progress(Tick("statistics", step, 0, 1, i, len(parts), None, "", 0.0))
            if setup.stop():
                raise Stopped("Stopped while statistics of batch norms were computed.")
            yield batch

    @cached_property
    def _told(self) -> tuple[str, ...]:
        """What to say where weights of the dense training are computed anew, and may not be those that it had."""
        was = self.store.of(self.setup.experiment.dense).environment()
        if was is None or not self.policy.asks("rewound") or not self.setup.experiment.settings.rewind_epoch:
            return ()
        changed = differing(was, self.setup.environment("train"))
        if not changed:
            return ()
        apart = ", ".join(f"{name} {new} instead of {old}" for name, (old, new) in changed.items())
        return (f"the dense model's weights of that epoch were computed anew with {apart}: they may differ slightly",)


def loss_of(setup: Setup, dense: Callable[[], Checkpoint]) -> Loss:
    """What the policy of a run trains in the place of the task's loss, with the dense model where it asks for that."""

    def teacher() -> nn.Module:
        model = dense().model
        setup.place(model)
        return model.eval().requires_grad_(False)

    policy = setup.experiment.policy
    assert policy.loss is not None
    about = {"objective": setup.task.objective, "teacher": teacher}
    loss: Loss = call(policy.loss, {**offered(setup.experiment.settings), **about})
    return loss


def check_policy(setup: Setup, state: Checkpoint) -> None:
    """Raise ConfigError where the policy of a run has no meaning for its model or its task.

    Args:
        state: the model with fresh weights, or those that are there.
    """
    settings, policy = setup.experiment.settings, setup.experiment.policy
    setup.check_batches(state.model, setup.retraining(), setup.batch_option(1))
    problem = policy.lacks(state.model, setup.task.objective)
    if not problem and policy.asks("fresh") and _same_again(setup, state):
        problem = f"{reference(settings.model)} is built with the same weights whatever the seed"
    if problem:
        raise ConfigError(f"--retrain {policy.name}: {problem}. Give another; `prunebench list` shows them.")


def _same_again(setup: Setup, state: Checkpoint) -> bool:
    """Whether a model is built with the same weights whatever the seed, so that none are fresh."""
    built = []
    for number in range(2):
        seed_all(number, "scratch")
        built.append(dict(state.architecture.build(setup.experiment.model).named_parameters()))
    one, other = built
    return all(bool((one[name] == other[name]).all()) for name in one)
