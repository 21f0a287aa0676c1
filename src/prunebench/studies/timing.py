"""Time what a study has pruned, one run of each kind, when nothing else of the study computes any more."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prunebench.errors import PrunebenchError, Stopped
from prunebench.experiment.existing import efficiency_run
from prunebench.experiment.experiment import Experiment
from prunebench.latency.config import EfficiencyConfig
from prunebench.latency.steps import timed_steps
from prunebench.results.curves import timed_alike
from prunebench.results.matrices import write_timings
from prunebench.studies.stopping import done, steps_of

if TYPE_CHECKING:
    from prunebench.training.fit import Stop


@dataclass(frozen=True)
class TimedRun:
    """A run that was timed on a backend, for itself and `others`, which take as long.

    `error` says in a line why it was not, `new` whether it was now.
    """

    key: str
    backend: str
    others: int = 0
    new: bool = False
    error: str = ""


def time_study(
    planned: Sequence[Experiment], timings: Sequence[EfficiencyConfig], stop: Stop | None = None
) -> Iterator[TimedRun]:
    """Time the finished runs, those that take as long once, on every backend; files go into the runs' folders.

    Raises:
        Stopped: `stop` asked for it.
    """
    from prunebench.latency.timing import time_run

    finished = [experiment for experiment in planned if done(experiment.run, experiment)]
    for alike, efficiency in itertools.product(_kinds(finished), timings):
        experiment, run = alike[0], alike[0].run
        backend = f"{efficiency.backend}, {efficiency.dtype}"
        into = efficiency_run(experiment, efficiency.settings(), run)
        try:
            had = set(into.steps())
            found = list(time_run(run, experiment, efficiency, into=into, stop=stop))
            if new := {timing.step for timing in found} > had:
                write_timings(into, run.manifest, run.folder, found, None)
            yield TimedRun(run.key, backend, len(alike) - 1, new)
        except Stopped:
            raise
        except PrunebenchError as error:
            yield TimedRun(run.key, backend, len(alike) - 1, error=str(error))


def untimed(planned: Sequence[Experiment], timings: Sequence[EfficiencyConfig]) -> list[EfficiencyConfig]:
    """What is still to be timed: a config for every run and backend, of a kind of run once."""
    found = []
    for alike, efficiency in itertools.product(_kinds(planned), timings):
        experiment, run = alike[0], alike[0].run
        into = efficiency_run(experiment, efficiency.settings(), run)
        there = done(run, experiment) and set(timed_steps(run, efficiency, into.steps())) <= set(steps_of(into))
        found += [efficiency] * (not there)
    return found


def _kinds(planned: Sequence[Experiment]) -> list[list[Experiment]]:
    """Runs that remove something, those that take as long together."""
    found: dict[str, list[Experiment]] = {}
    for experiment in planned:
        if experiment.method.removes:
            found.setdefault(timed_alike(experiment.run), []).append(experiment)
    return list(found.values())
