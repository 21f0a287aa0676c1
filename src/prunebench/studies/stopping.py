"""Searches: how latencies that goals bound are timed, and whether a search has ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

from prunebench.errors import RunError
from prunebench.experiment.existing import efficiency_run, finished
from prunebench.experiment.experiment import Experiment
from prunebench.experiment.goals import Goal, Reading, read
from prunebench.latency.config import EfficiencyConfig
from prunebench.records import TimingRecord
from prunebench.runs.run import Run
from prunebench.statistics import paired_speedup

SECONDS = 20.0
"""Of timing for each latency that a goal asks for, at most."""


def timing_of(goal: Goal, step: int, backend: str) -> EfficiencyConfig:
    """How the latency of a step that a goal bounds is timed."""
    return EfficiencyConfig(backend=backend, batch_sizes=(goal.batch,), steps=(step,), time_budget=SECONDS)


def read_latency(goal: Goal, timing: TimingRecord) -> Reading:
    """What a step has of a goal that bounds latency."""
    of = {latency.variant: latency.samples_ms for latency in timing.latencies}
    if goal.unit == "ms":
        figure = median(of["pruned"])
        return Reading(goal.text, goal.bound, figure, figure <= goal.bound)
    share = paired_speedup(of["pruned"], of["original"])  # its time / the original's
    ends = (share.low, share.high) if share.known else (None, None)
    return Reading(goal.text, goal.bound, share.median, share.median <= goal.bound, *ends)


def over(goals: Sequence[Goal], readings: Sequence[Reading]) -> bool:
    """Whether a search ends at a step with these readings: it meets every bound on costs, or breaks one on accuracy."""
    found = list(zip(goals, readings, strict=True))
    costs = [reading.holds for goal, reading in found if not goal.of_score]
    return not all(reading.holds for goal, reading in found if goal.of_score) or (bool(costs) and all(costs))


def done(run: Run, experiment: Experiment, backend: str = "eager") -> bool:
    """Whether nothing of an experiment is left to do: all its steps are there, or its search has ended.

    Computes nothing: a latency that was not timed has not been searched for. A run that is damaged is not done; whoever
    goes on with it is told.
    """
    try:
        return finished(run, experiment.settings) or ended(
            run, experiment.goals, lambda timing: efficiency_run(experiment, timing.settings(), run), backend
        )
    except RunError:
        return False


def steps_of(run: Run) -> list[int]:
    """Steps that are finished; none of a run that is damaged."""
    try:
        return run.steps()
    except RunError:
        return []


def ended(run: Run, goals: Sequence[Goal], timed_in: Callable[[EfficiencyConfig], Run], backend: str = "eager") -> bool:
    """Whether the search of a run has ended at its last step; `timed_in` names the run that would hold a timing."""
    steps = run.steps()
    if not goals or not steps:
        return False
    first, last = run.record(0), run.record(steps[-1])
    readings = []
    for goal in goals:
        if goal.measure != "latency":
            readings.append(read(goal, last, first))
            continue
        timed = timed_in(timing_of(goal, last.step, backend))
        if last.step not in timed.steps():
            return False
        readings.append(read_latency(goal, timed.timing(last.step)))
    return over(goals, readings)
