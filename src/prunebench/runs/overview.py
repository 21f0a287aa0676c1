"""Overview: runs in a line each, with the settings in which they differ."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from prunebench.runs.apart import differing
from prunebench.runs.files import size
from prunebench.runs.lock import holder
from prunebench.runs.run import ASIDE, Run


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """A run in a line: its folder's name, state, progress, size in bytes, when it last changed (seconds since the
    epoch), and the settings and data in which it differs from the others of its kind."""

    name: str
    kind: str
    state: str
    progress: str
    bytes: int
    changed: float
    differs: str


def overview(runs: Sequence[Run]) -> list[Overview]:
    """A row per run."""
    rows = []
    for run in runs:
        rows.append(
            Overview(
                name=run.folder.name if run.folder.parent.name != ASIDE else f"{ASIDE}/{run.folder.name}",
                kind=run.manifest.kind,
                state=_state(run),
                progress=_progress(run),
                bytes=size(run.folder),
                changed=run.changed,
                differs=differing(run, runs),
            )
        )
    return rows


def _last(run: Run) -> int:
    return 0 if run.manifest.kind == "train" else int(str(run.manifest.config["iterations"]))


def _state(run: Run) -> str:
    if run.folder.parent.name == ASIDE:
        return "set aside"
    if found := holder(run.folder):
        return f"running (process {found.pid} on {found.host})"
    return "finished" if _last(run) in run.steps() else "stopped"


def _progress(run: Run) -> str:
    steps, last = run.steps(), _last(run)
    half = ", next one begun" if run.begun else ""
    if run.manifest.kind == "train":
        return "trained" if steps else "training begun"
    return f"step {steps[-1] if steps else '-'} of {last}{half}"
