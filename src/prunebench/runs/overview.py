"""Overview: runs in a line each, with the settings in which they differ."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from prunebench.errors import RunError
from prunebench.runs.apart import differences
from prunebench.runs.files import MARK, size
from prunebench.runs.index import each
from prunebench.runs.lock import holder, locked
from prunebench.runs.run import ASIDE, Run
from prunebench.runs.snapshot import snapshot

MOST = 10**6
"""Iterations that a run may have; settings that say more are damaged."""


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
    """A row per run; one that is damaged is warned of and passed over."""
    sound = each(map(snapshot, runs), lambda run: (run, _state(run), _progress(run)), lambda run: run.folder)
    return [
        Overview(
            name=run.folder.name if run.folder.parent.name != ASIDE else f"{ASIDE}/{run.folder.name}",
            kind=run.manifest.kind,
            state=state,
            progress=progress,
            bytes=size(run.folder),
            changed=run.changed,
            differs=differs,
        )
        for (run, state, progress), differs in zip(sound, differences([run for run, _, _ in sound]), strict=True)
    ]


def _last(run: Run) -> int:
    """The last step that a run is to have.

    Raises:
        RunError: its settings do not say.
    """
    if run.manifest.kind == "train":
        return 0
    last = run.manifest.config.get("iterations")
    if not isinstance(last, int) or not 1 <= last <= MOST:
        raise RunError(f"{run.folder / MARK} is damaged: its settings say {last!r} iterations.")
    return last


def _state(run: Run) -> str:
    if run.folder.parent.name == ASIDE:
        return "set aside"
    if locked(run.folder):
        found = holder(run.folder)
        return f"running (process {found.pid} on {found.host})" if found else "running"
    return "finished" if _last(run) in run.steps() else "stopped"


def _progress(run: Run) -> str:
    steps, last = run.steps(), _last(run)
    half = ", next one begun" if run.begun else ""
    if run.manifest.kind == "train":
        return "trained" if steps else "training begun"
    return f"step {steps[-1] if steps else '-'} of {last}{half}"
