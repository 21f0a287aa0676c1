"""Runs: those of a folder, or those that a filter names, as one looks at them from Python."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

from prunebench.config import deciding, field_types
from prunebench.errors import ConfigError, RunError
from prunebench.notebooks.rows import LATENCIES, STEPS, Row, frame, latencies_of, rows_of
from prunebench.results.settings import NAMED
from prunebench.runs.index import all_runs, each, find
from prunebench.runs.run import Run
from prunebench.runs.selection import select
from prunebench.showing import html


class Runs(Sequence[Run]):
    """The runs of a folder that have a finished step, newest first, as they are now; those of studies are in folders of
    their own, `Runs("runs/embedded-study")`.

    In a notebook they show themselves as a table of what is left and what it scores, with pictures and verdicts. What
    cannot be read is warned of and passed over.

    Args:
        folder: of runs, or of a study.
        named: those of them alone that this names, as `prunebench compare` has it: `criterion=l1,seed=0`, or a run's
            key or the beginning of it.

    Raises:
        RunError: there is no such folder, or nothing in it has that name.
        ConfigError: a filter names no setting.
    """

    def __init__(self, folder: str | Path = "runs", named: str | None = None) -> None:
        self.folder, self.named = Path(folder), named
        if not self.folder.is_dir():
            raise RunError(f"There is no folder {folder}; name one that holds runs, or a study.")
        if named is None:
            self._runs = tuple(all_runs(self.folder))
        elif "=" in named:
            self._runs = select(named, self.folder, NAMED).runs
        else:
            self._runs = (find(self.folder, named),)

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs)

    @overload
    def __getitem__(self, which: int | str) -> Run: ...

    @overload
    def __getitem__(self, which: slice) -> Sequence[Run]: ...

    def __getitem__(self, which: int | slice | str) -> Run | Sequence[Run]:
        """The run of a place, or of a key or the beginning of one; some runs of a slice.

        Raises:
            RunError: no run has that name; AmbiguousRun: several have.
        """
        return find(self.folder, which) if isinstance(which, str) else self._runs[which]

    def __repr__(self) -> str:
        return f"Runs({str(self.folder)!r}{f', {self.named!r}' if self.named else ''}: {self.counted()})"

    def _repr_html_(self) -> str:
        return html(self)

    def counted(self) -> str:
        """`54 of pruning, 3 of training`."""
        words = {"prune": "of pruning", "train": "of training", "efficiency": "of timing"}
        kinds = [run.manifest.kind for run in self._runs]
        return ", ".join(f"{kinds.count(kind)} {word}" for kind, word in words.items() if kind in kinds) or "none"

    def to_pandas(self, *settings: str) -> Any:
        """A pandas.DataFrame with a row per finished step of each run of training and pruning, oldest runs first.

        Args:
            settings: names of settings, such as "lr", that are columns too.

        Raises:
            ConfigError: there is no such setting, or it is a column already.
            RunError: there are runs, and none can be read.
        """
        for name in settings:
            _check(name)

        def read(run: Run) -> list[Row]:
            told = {name: _plain(run.manifest.config.get(name)) for name in settings}
            return [row | told for row in rows_of(run)]

        return frame(self._read(read, ("train", "prune")), STEPS, settings)

    def latencies_to_pandas(self) -> Any:
        """A pandas.DataFrame with a row per timed step, backend, batch size and variant: the median of its rounds in
        milliseconds, and the speed-up over the original within rounds, with its 95 % interval.

        Raises:
            RunError: there are runs, and none can be read.
        """
        return frame(self._read(latencies_of, ("efficiency",)), LATENCIES)

    def _read(self, read: Any, kinds: Sequence[str]) -> list[Row]:
        runs = [run for run in reversed(self._runs) if run.manifest.kind in kinds]
        return [row for rows in each(runs, read, lambda run: run.folder, some=True) for row in rows]


def _check(name: str) -> None:
    if name in STEPS:
        raise ConfigError(f"{name!r} is a column already.")
    if name not in field_types():
        near = difflib.get_close_matches(name, deciding("training", "pruning"), n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"There is no setting {name!r}.{hint}")


def _plain(value: object) -> object:
    return ", ".join(map(str, value)) if isinstance(value, list) else value
