"""Where the steps of a run are kept while it is computed: its folder, or memory alone. The loop knows no difference."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import msgspec

from prunebench.errors import ConfigError
from prunebench.experiment.existing import check_contents, finished_records, trim
from prunebench.experiment.experiment import Experiment
from prunebench.experiment.tracked import epochs_of, tell_again
from prunebench.models import checkpoint as checkpoints
from prunebench.models.checkpoint import Checkpoint
from prunebench.models.taken_over import copied
from prunebench.records import Answers, Environment, StepRecord, UnitCosts
from prunebench.runs.background import Background
from prunebench.runs.run import Run
from prunebench.tracking.telling import Telling, telling
from prunebench.training import state as states
from prunebench.training.state import StepState


class Disk:
    """Keeps everything in the folder of a run."""

    def __init__(self, run: Run, experiment: Experiment) -> None:
        self._run, self._experiment = run, experiment
        self._last: tuple[int, Checkpoint] | None = None
        self._saved: tuple[int, int, int] | None = None
        self._writing = Background()

    @property
    def key(self) -> str | None:
        """What the run is called; None where there is none."""
        return self._run.key

    @property
    def new(self) -> bool:
        """Whether nothing is kept yet: what cannot work is then told before anything is."""
        return not self._run.folder.exists()

    def steps(self) -> list[int]:
        """Steps that are finished, in order."""
        return self._run.steps()

    def record(self, step: int) -> StepRecord:
        """The record of a finished step."""
        return self._run.record(step)

    def finished(self) -> list[StepRecord] | None:
        """The records of all steps that are asked for, where they are there."""
        return finished_records(self._run, self._experiment.settings)

    def checkpoint(self, step: int) -> Checkpoint:
        """The model of a finished step: as it was committed here, else from its files."""
        if self._last is not None and self._last[0] == step:
            return self._last[1]
        return checkpoints.load(self._run.checkpoint(step), self._experiment.model)

    def unpruned(self) -> Checkpoint:
        """The model of step 0, a copy of its own: from this run's files, else from those of the dense run."""
        kept = self._run if 0 in self._run.checkpoints() else self._run.sibling(self._experiment.dense.manifest)
        return checkpoints.load(kept.checkpoint(0), self._experiment.model)

    def environment(self) -> Environment | None:
        """What the run was computed with; None where it is not there."""
        return self._run.environment() if self._run.folder.exists() else None

    def kept(self) -> Path | None:
        """The folder of the newest model that is kept, of a finished step if there is one; None where there is none."""
        steps = self._run.checkpoints()
        return self._run.checkpoint(steps[-1]) if steps else self._run.progress()

    def begun(self, step: int) -> StepState | None:
        """What an earlier process saved of a step that is not finished."""
        folder = self._run.progress()
        state = states.load(folder, self._experiment.model) if folder is not None else None
        found = state if state is not None and state.step == step else None
        self._saved = found.at if found is not None else None
        return found

    def save(self, state: StepState) -> None:
        """Keep a step that is not finished; a thread goes on with that, one state at a time.

        Within a fit, which changes every tensor in its next batch, files are filled before this returns, and the thread
        brings them to the disk; at its end the thread does both, and nobody may train the model until `commit`. What
        goes wrong there is raised by the next call, or at the end of `working`.

        Raises:
            DiskError: it, or the state before it, cannot be written.
        """
        self._writing.wait()  # rather than leave one out: what is kept is as new as was asked for
        write = state.writer()
        if state.optimizer:
            self._writing.start(self._run.write_progress(state.step, write))
        else:
            self._writing.start(partial(self._write, state.step, write))
        self._saved = state.at

    def _write(self, step: int, write: Callable[[Path], None]) -> None:
        self._run.write_progress(step, write)()

    def unit_costs(self) -> UnitCosts | None:
        """What units were measured to cost; None where that was not measured."""
        return self._run.unit_costs()

    def keep_unit_costs(self, costs: UnitCosts) -> None:
        """Keep that, for all steps."""
        self._run.keep_unit_costs(costs)

    def answers(self, step: int) -> Answers | None:
        """Which samples a finished step answers rightly, where that was kept."""
        return self._run.answers(step)

    def commit(self, record: StepRecord, state: StepState, answers: Answers | None = None) -> None:
        """Make a step exist; what was saved at the end of its fit is not written again."""
        self._writing.wait()
        record = msgspec.structs.replace(record, run=self._run.key)
        saved = self._saved == state.at
        write = None if saved else lambda folder: checkpoints.save(state.checkpoint, folder)
        self._run.commit(record, write, answers)
        self._last, self._saved = (record.step, state.checkpoint), None
        trim(self._run, self._experiment.settings)

    @contextmanager
    def working(self, environment: Environment) -> Iterator[None]:
        """Hold the run for this process; at the end, what was saved is on the disk."""
        with self._run.working(environment), self._writing:
            yield

    def telling(self) -> AbstractContextManager[Telling]:
        """The trackers of the run, while it is held."""
        if not self._experiment.settings.track:
            return telling((), None, 0)
        return telling(self._experiment.settings.track, self._run, epochs_of(self._run, self._experiment))

    def tell_finished(self) -> None:
        """Tell trackers of the finished steps that they were not told."""
        tell_again(self._experiment, self._run)

    def tidy(self) -> None:
        """Remove what a killed process left of what is finished."""
        self._run.tidy()

    def of(self, run: Run) -> Disk:
        """The place of another run, in the same folder of runs."""
        return Disk(self._run.sibling(run.manifest), self._experiment)


class Memory:
    """Keeps records, and the model of the last step alone; of a step that is stopped, nothing.

    Args:
        first: whether the model of step 0 is kept too.
    """

    key: str | None = None
    new = True

    def __init__(self, *, first: bool = False) -> None:
        self._records: list[StepRecord] = []
        self._last: Checkpoint | None = None
        self._first: Checkpoint | None = None
        self._keeps_first = first
        self._costs: UnitCosts | None = None

    def steps(self) -> list[int]:
        """Steps that are finished, in order."""
        return [record.step for record in self._records]

    def record(self, step: int) -> StepRecord:
        """The record of a finished step."""
        return self._records[step]

    def finished(self) -> None:
        """Nothing is there when work begins."""

    def checkpoint(self, step: int) -> Checkpoint:
        """The model of the last step."""
        assert self._last is not None
        assert step == self._records[-1].step, "memory holds the model of the last step alone"
        return self._last

    def unpruned(self) -> Checkpoint:
        """The model of step 0, where it is kept."""
        assert self._first is not None, "memory was not asked to keep the model of step 0"
        return self._first

    def environment(self) -> None:
        """Everything is computed here and now."""

    def kept(self) -> None:
        """Nothing has a folder."""

    def begun(self, step: int) -> None:
        """Nothing was saved."""

    def save(self, state: StepState) -> None:
        """Nothing is saved."""

    def unit_costs(self) -> UnitCosts | None:
        """What units were measured to cost, by this call."""
        return self._costs

    def keep_unit_costs(self, costs: UnitCosts) -> None:
        """Keep that until it ends."""
        self._costs = costs

    def answers(self, step: int) -> None:
        """Nobody compares them."""

    def commit(self, record: StepRecord, state: StepState, answers: Answers | None = None) -> None:
        """Keep a step until the next one."""
        self._records.append(record)
        self._last = state.checkpoint
        if self._keeps_first and self._first is None:
            self._first = replace(state.checkpoint, model=copied(state.checkpoint.model))

    def working(self, environment: Environment) -> AbstractContextManager[None]:
        """Nothing is held."""
        return nullcontext()

    def telling(self) -> AbstractContextManager[Telling]:
        """Nobody is told of a run that there is not."""
        return telling((), None, 0)

    def tell_finished(self) -> None:
        """Nobody is told."""

    def tidy(self) -> None:
        """Nothing was left."""

    def of(self, run: Run) -> Memory:
        """Another memory."""
        return Memory()


Store = Disk | Memory


def store_for(run: Run | None, experiment: Experiment) -> Store:
    """The folder of a run, where there is one, else memory.

    Raises:
        RunError: the run was computed with other data or files.
        ConfigError: trackers are to be told of a run, and there is none.
    """
    if run is None and experiment.settings.track:
        raise ConfigError("--track tells of a run: give one, as in prune(config, pruning_run(config)).")
    if run is None:
        return Memory(first=experiment.policy.asks("teacher"))
    experiment.note_code()
    if run.folder.exists():
        check_contents(run, experiment)
    return Disk(run, experiment)
