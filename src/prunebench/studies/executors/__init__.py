"""Executors: where the jobs of a study are done, one file each. To add one, add a file that registers an Executor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prunebench.registry import Registry

if TYPE_CHECKING:
    from prunebench.studies.jobs import Job, Outcome, Told


@dataclass(frozen=True)
class Options:
    """How jobs are done: how many at once on this machine, on which cluster, who hears of steps, when to stop."""

    jobs: int = 1
    address: str | None = None
    told: Told | None = None
    stop: Callable[[], bool] = lambda: False


@dataclass(frozen=True)
class Executor:
    """A registered executor.

    Attributes:
        run: (jobs, options) → an outcome per job, as they come. A job begins after the one that it needs, and fails
            with it; a job that fails, or whose process dies, stops no other. When `options.stop` says so, what is
            being done stops after its batch and keeps its progress, and no further job begins.
        needs: packages that must be installed besides those of prunebench.
        extra: the extra of prunebench that installs them.
    """

    name: str
    summary: str
    run: Callable[[Sequence[Job], Options], Iterator[Outcome]]
    needs: tuple[str, ...] = ()
    extra: str = ""


executors: Registry[Executor] = Registry("executor", "prunebench.studies.executors", None)
