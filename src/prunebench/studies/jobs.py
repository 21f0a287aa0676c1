"""Jobs: a study's runs as pieces of work that depend on each other, for executors to do in any process.

Whoever only lists or hands out jobs has no need of torch: it is imported where one is done.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from prunebench.config import Settings
from prunebench.errors import PrunebenchError, RunLocked, Stopped
from prunebench.experiment.elsewhere import anywhere
from prunebench.experiment.experiment import Experiment
from prunebench.experiment.resolve import resolve
from prunebench.records import StepRecord
from prunebench.results.matrices import write_steps
from prunebench.studies.stopping import done

if TYPE_CHECKING:
    from prunebench.training.fit import Stop

PATIENCE = 60.0
"""Seconds that a job waits for another process to leave its run: one on a node that was lost dies a little later."""


@dataclass(frozen=True)
class Job:
    """One run to compute: a dense model that is trained, or a pruning run, whose dense run comes first.

    Attributes:
        config: complete, every path in it absolute, since it may be done by a process in another folder.
        key: the run's.
        needs: the key of the job that has to be done before; None where there is none.
    """

    kind: Literal["train", "prune"]
    config: Settings
    key: str
    needs: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a job: `error` says in a line or two why it failed, `trace` where."""

    key: str
    error: str = ""
    trace: str = ""
    stopped: bool = False
    seconds: float = 0.0

    @property
    def fine(self) -> bool:
        """Whether the run is finished."""
        return not (self.error or self.stopped)


Told = Callable[[Job, StepRecord], None]
"""Hears of every step that a job has done."""


def jobs_of(planned: Iterable[Experiment]) -> list[Job]:
    """The jobs that are not done yet; a dense run comes before the first that needs it."""
    jobs: dict[str, Job] = {}
    for experiment in planned:
        if done(experiment.run, experiment):
            continue
        needs = None
        for phase in experiment.untrained_phases():
            jobs.setdefault(phase.dense.key, Job("train", anywhere(phase), phase.dense.key, needs))
            needs = phase.dense.key
        jobs[experiment.run.key] = Job("prune", anywhere(experiment), experiment.run.key, needs)
    return list(jobs.values())


def do(job: Job, stop: Stop | None = None, told: Told | None = None) -> Outcome:
    """Do a job, and tell what became of it; it raises nothing that concerns this job alone."""
    started = time.monotonic()
    error = trace = ""
    stopped = False
    try:
        _patiently(job, stop, told, started + PATIENCE)
    except Stopped:
        stopped = True
    except Exception as problem:  # whatever it is, the other runs go on
        error = str(problem) if isinstance(problem, PrunebenchError) else f"{type(problem).__name__}: {problem}"
        trace = traceback.format_exc()
    return Outcome(job.key, error, trace, stopped, time.monotonic() - started)


def unfit(job: Job, needed: Outcome) -> Outcome:
    """The outcome of a job whose dense run was not trained."""
    return Outcome(job.key, f"Its dense run {needed.key} failed: {needed.error}", stopped=needed.stopped)


def _patiently(job: Job, stop: Stop | None, told: Told | None, until: float) -> None:
    while True:
        try:
            return _compute(job, stop, told)
        except RunLocked:
            if time.monotonic() > until:
                raise
            time.sleep(1.0)


def _compute(job: Job, stop: Stop | None, told: Told | None) -> None:
    from prunebench.experiment.loop import prune, train
    from prunebench.studies.search import seek

    experiment = resolve(job.config)
    if job.kind == "train":
        record = train(experiment, experiment.dense, stop=stop)
        if told:
            told(job, record)
        return
    run, records = experiment.run, []
    search = seek if experiment.goals else prune
    for record_or_goal in search(experiment, run, stop=stop):
        if isinstance(record_or_goal, StepRecord):
            records.append(record_or_goal)
            if told:
                told(job, record_or_goal)
    write_steps(run, records, None)
