"""Snapshot: a run as it was when it was first looked at, for whatever shows many runs: each file is read once."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from prunebench.records import Environment
from prunebench.runs import progress
from prunebench.runs.files import MARK
from prunebench.runs.manifest import Manifest
from prunebench.runs.run import Run


class Snapshot(Run):
    """A run of which what was read once is not read again. It raises what the run itself does."""

    def __init__(self, run: Run) -> None:
        super().__init__(run.root, run.manifest, run.folder)
        self._records: dict[int, Any] = {}

    @property
    def begun(self) -> bool:
        """Whether a step is half done."""
        return bool(self._half_done)

    @property
    def changed(self) -> float:
        """When the run last gained anything, seconds since the epoch."""
        return max(map(progress.changed, [self.folder / MARK, *self._half_done])) / 1e9

    @cached_property
    def _half_done(self) -> list[Path]:
        return progress.folders(self.folder)

    def environment(self) -> Environment:
        """What the run is computed with."""
        return self._environment

    @cached_property
    def _environment(self) -> Environment:
        return super().environment()

    @cached_property
    def _manifest(self) -> Manifest | None:
        return super()._there()

    def _there(self) -> Manifest | None:
        return self._manifest

    def _record(self, step: int, kind: Any) -> Any:
        if step not in self._records:
            self._records[step] = super()._record(step, kind)
        return self._records[step]


def snapshot(run: Run) -> Snapshot:
    """The run as it is now, or as it was where it is a snapshot itself."""
    return run if isinstance(run, Snapshot) else Snapshot(run)
