"""Seek: prune until goals are met."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import replace
from typing import cast

import msgspec

from prunebench.config import RunConfig
from prunebench.experiment.existing import efficiency_run, finished, trim, trim_finished
from prunebench.experiment.experiment import Experiment
from prunebench.experiment.goals import Goal, GoalRecord, Reading, read
from prunebench.experiment.loop import prune
from prunebench.experiment.resolve import resolve
from prunebench.latency.timing import time_run
from prunebench.records import StepRecord
from prunebench.runs.run import Run
from prunebench.studies.stopping import done, over, read_latency, timing_of
from prunebench.training.fit import Progress, Stop


def seek(
    config: RunConfig | Experiment,
    run: Run,
    *,
    backend: str = "eager",
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> Iterator[StepRecord | GoalRecord]:
    """Prune step by step until the goals in `config.until` are met; yields every step, and at the end the answer.

    The search ends at the first step that meets every bound on costs, at the first that breaks one on accuracy, or
    when `iterations` are used up. The answer is the first step that meets all; where no costs are bounded, the last
    that meets the accuracy; where costs are not met, that step as well, and it is not reached. Checkpoints that `keep`
    does not ask for go when their steps are timed; with `last` that of the answer stays too.

    Args:
        config: what to do.
        run: where what is computed is kept; latencies are timed on its checkpoints, and kept as well.
        backend: the backend that latencies are timed on.
        progress: told how far the work is.
        stop: asked after every batch whether to stop.

    Raises:
        ConfigError: a goal is none, or cannot be reached by this method.
        PrunebenchError: as `prune`.
    """
    experiment = resolve(config)
    goals, settings, was_finished = experiment.goals, experiment.settings, finished(run, experiment.settings)
    first: StepRecord | None = None
    answer: GoalRecord | None = None
    readings: tuple[Reading, ...] = ()
    ended = done(run, experiment, backend)  # all that is asked for is there, on a disk that may be read-only
    there = (run.record(step) for step in run.steps() if step <= settings.iterations)
    steps = there if ended else prune(_keeping_all(experiment), run, progress, stop)
    with closing(cast(Generator[StepRecord, None, None], steps)) as records:
        for record in records:
            yield record
            first = first or record
            readings = tuple(
                _read(goal, record, first, run, experiment=experiment, backend=backend, stop=stop) for goal in goals
            )
            accurate = all(found.holds for goal, found in zip(goals, readings, strict=True) if goal.of_score)
            cheap = all(found.holds for goal, found in zip(goals, readings, strict=True) if not goal.of_score)
            if accurate:
                answer = GoalRecord(record.step, cheap, readings)
            if settings.keep != "all" and not was_finished:
                last = msgspec.structs.replace(settings, keep="last")
                trim(run, last, [answer.step] if answer and answer.step is not None else [])
            if over(goals, readings):
                break
    answer = answer or GoalRecord(None, False, readings)
    trim_finished(run, settings, [answer.step] if settings.keep == "last" and answer.step is not None else [])
    yield answer


def _keeping_all(experiment: Experiment) -> Experiment:
    """The same, but that every checkpoint is kept: each is timed, and may be the answer, once its step is finished."""
    found = replace(experiment, settings=msgspec.structs.replace(experiment.settings, keep="all"))
    known = {name: value for name, value in vars(experiment).items() if name not in vars(found)}
    vars(found).update(known)  # data that is loaded already is not loaded again
    return found


def _read(
    goal: Goal,
    record: StepRecord,
    first: StepRecord,
    run: Run,
    *,
    experiment: Experiment,
    backend: str,
    stop: Stop | None,
) -> Reading:
    if goal.measure != "latency":
        return read(goal, record, first)
    efficiency = timing_of(goal, record.step, backend)
    into = efficiency_run(experiment, efficiency.settings(), run)
    (timing,) = time_run(run, experiment, efficiency, into=into, stop=stop)
    return read_latency(goal, timing)
