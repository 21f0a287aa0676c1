"""Time what a study has pruned, one run of each kind, when nothing else of the study computes any more."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from prunebench.curves import timed_alike
from prunebench.efficiency.config import EfficiencyConfig
from prunebench.efficiency.timing import time_run
from prunebench.errors import PrunebenchError, Stopped
from prunebench.matrices import write_timings
from prunebench.methods import methods
from prunebench.runs import efficiency_run
from prunebench.searches import done
from prunebench.studies.study import Planned
from prunebench.training import Stop


@dataclass(frozen=True)
class Timed:
    """A run that was timed on an engine; `error` says in a line why it was not, `new` whether it was now."""

    key: str
    engine: str
    new: bool = False
    error: str = ""


def time_study(
    planned: Sequence[Planned], timings: Sequence[EfficiencyConfig], stop: Stop | None = None
) -> Iterator[Timed]:
    """Time the finished runs, those that take as long once, on every engine; files go into the runs' folders.

    Raises:
        Stopped: `stop` asked for it.
    """
    for (config, run), efficiency in itertools.product(_kinds(planned), timings):
        engine = f"{efficiency.backend}, {efficiency.dtype}"
        into = efficiency_run(config, efficiency.settings(), run)
        had = set(into.steps())
        try:
            found = list(time_run(run, config, efficiency, into=into, stop=stop))
            if new := {timing.step for timing in found} > had:
                write_timings(into, run.info, run.folder, found, None)
            yield Timed(run.info.key, engine, new)
        except Stopped:
            raise
        except PrunebenchError as error:
            yield Timed(run.info.key, engine, error=str(error))


def _kinds(planned: Sequence[Planned]) -> list[Planned]:
    found: dict[str, Planned] = {}
    for config, run in planned:
        if methods.get(config.method).removes and done(run, config):
            found.setdefault(timed_alike(run), (config, run))
    return list(found.values())
