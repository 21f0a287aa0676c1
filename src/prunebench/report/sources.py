"""What a report is about: the pruning runs of a path, their timings, and what of a study is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prunebench.errors import RunError
from prunebench.experiment.existing import efficiency_run, of_run
from prunebench.experiment.goals import parse
from prunebench.latency.config import EfficiencyConfig
from prunebench.results.curves import readable
from prunebench.results.settings import NAMED, settings_of
from prunebench.runs.index import all_runs, each
from prunebench.runs.run import Run
from prunebench.runs.selection import pruning_runs, select
from prunebench.studies.record import FILE, StudyRecord, read_record
from prunebench.studies.stopping import ended


@dataclass(frozen=True)
class Sources:
    """Pruning runs, oldest first, the timing runs among their neighbours, and runs that are not what was planned.

    `unfinished` holds a sentence per run that is missing, has stopped before its last iteration, or is passed over.
    """

    runs: tuple[Run, ...]
    every: tuple[Run, ...]
    study: StudyRecord | None
    unfinished: tuple[str, ...]

    @property
    def timings(self) -> list[Run]:
        """The runs that timed one of the pruning runs."""
        keys = {run.key for run in self.runs}
        return [run for run in self.every if run.manifest.kind == "efficiency" and run.manifest.source in keys]


def gather(path: str, root: str = "runs") -> Sources:
    """The sources of a run, of a folder of runs or of a study, or of whatever else `select` knows in `root`.

    Raises:
        RunError: there is no pruning run, or `study.json` cannot be read.
    """
    if not Path(path).exists() and (path == root or "/" in path):
        raise RunError(f"There is no folder {path}; name a run, a study or a folder of runs.")
    studies = sorted(place.parent.as_posix() for place in Path(path).glob(f"*/{FILE}"))
    if studies and not pruning_runs(path):
        raise RunError(f"{path} holds no pruning run of its own, but studies; name one: {', '.join(studies)}.")
    runs, passed_over = _newest(readable(select(path, root, NAMED).runs))
    folder = runs[0].folder.parent
    whole = Path(path).resolve() == folder.resolve()
    study = read_record(folder) if whole else None
    read = {run.folder: run for run in runs}
    every = readable([read.get(run.folder, run) for run in all_runs(folder)])
    begun = all_runs(folder, begun=True) if whole else runs
    missing = set(study.runs) - {run.key for run in begun} if study else set()
    unfinished = [line for line in each(begun, _stopped, lambda run: run.folder) if line]
    unfinished += [f"{key} is part of the study and has not begun." for key in sorted(missing)]
    return Sources(tuple(runs), tuple(every), study, (*sorted(unfinished), *passed_over))


def _newest(runs: Sequence[Run]) -> tuple[list[Run], list[str]]:
    """Of runs of the same settings and seed the newest, oldest first; and a sentence on each of the others."""
    newest: dict[str, Run] = {}
    passed_over = []
    for run, settings in zip(runs, settings_of(runs), strict=True):
        same = repr((sorted(settings.items()), run.manifest.config.get("seed")))
        if newest.setdefault(same, run) is not run:
            passed_over.append(
                f"{run.key} is passed over: {newest[same].key} has the same settings and seed and is newer; "
                "files of yours changed between them."
            )
    return sorted(newest.values(), key=lambda run: (run.manifest.created, run.key)), passed_over


def _stopped(run: Run) -> str | None:
    """What a pruning run lacks of the iterations that it was asked for."""
    asked = run.manifest.config.get("iterations")
    last = max(run.steps(), default=None)
    if run.manifest.kind != "prune" or not isinstance(asked, int) or (last is not None and last >= asked):
        return None
    until: Any = run.manifest.config.get("until") or ()
    if ended(run, [parse(text) for text in until], lambda timing: _timed_in(run, timing)):
        return None  # a search, which ends where its goals are met
    return f"{run.key} has stopped {'before step 0' if last is None else f'at step {last}'} of {asked}."


def _timed_in(run: Run, timing: EfficiencyConfig) -> Run:
    """The run that would hold a timing that a search made."""
    return efficiency_run(of_run(run, {}), timing.settings(), run)
