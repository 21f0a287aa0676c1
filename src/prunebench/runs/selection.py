"""Selection: the pruning runs that a user names by a key, a folder, or a filter such as `criterion=l1`."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from prunebench.config import deciding, option_name, stored_as, to_target
from prunebench.errors import ConfigError, RunError
from prunebench.registry import reference, without_folder
from prunebench.runs.apart import data_name, digest_in, same_folder
from prunebench.runs.index import all_runs, find, is_run_folder
from prunebench.runs.run import Run

DATA = ("data", "data_dir")
"""What filters may name besides: a run's data, by the beginning of its digest, and the folder that it was in."""


NO_OTHERS: Mapping[str, Callable[[str], str]] = {}
"""Where no value has other names."""


@dataclass(frozen=True)
class Selected:
    """Runs that a user named, as text; `filter` holds the settings that were asked for, if it was a filter."""

    text: str
    runs: tuple[Run, ...]
    filter: Mapping[str, str]


def select(text: str, root: str | Path, named: Mapping[str, Callable[[str], str]] = NO_OTHERS) -> Selected:
    """The pruning runs that `text` names, newest first.

    Args:
        text: a run's key or the beginning of it, its folder, a folder of runs, or `field=value,field=value`.
        root: the folder of runs in which keys and filters are looked up.
        named: setting → what makes of a value that goes by several names the one that runs store.

    Raises:
        RunError: there is none.
        ConfigError: a filter names no setting.
    """
    path = Path(text)
    if "=" in text and not os.path.exists(text):  # noqa: PTH110 — any text may stand here, for which Path raises
        asked = {name: named.get(name, str)(value) for name, value in _filter(text).items()}
        runs = [run for run in pruning_runs(root) if _fits(run, asked)]
        if not runs:
            raise RunError(f"{text!r}: no pruning run in {root} has these settings.{_values(root, asked)}")
        return Selected(text, tuple(runs), asked)
    if os.path.isdir(text) and not is_run_folder(path):  # noqa: PTH112 — as above
        if not (runs := pruning_runs(path)):
            raise RunError(f"{path} holds no pruning run with a finished step.")
        return Selected(text, tuple(runs), {})
    run = find(root, text)
    if run.manifest.kind != "prune":
        raise RunError(f"Run {run.key} is a {run.manifest.kind} run; name a pruning run.")
    return Selected(text, (run,), {})


def pruning_runs(root: str | Path) -> list[Run]:
    """Every pruning run in a folder that has pruned a step, newest first."""
    return [run for run in all_runs(root) if run.manifest.kind == "prune" and run.steps()[-1] > 0]


def _filter(text: str) -> dict[str, str]:
    names = [*deciding("training", "pruning"), "iterations", *DATA]
    asked = {}
    for part in text.split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ConfigError(
                f"{text!r}: {name!r} is no setting that decides a run.{hint} Filters look like criterion=l1."
            )
        asked[name] = value
    return asked


def _fits(run: Run, asked: Mapping[str, str]) -> bool:
    return all(_has(run, name, value) for name, value in asked.items())


def _has(run: Run, name: str, value: str) -> bool:
    if name == "data":
        return run.manifest.contents.get("data", "").startswith(digest_in(value))
    stored = stored_as(run.manifest.config, name)
    if name == ("fraction" if to_target(run.manifest.config) else "iterations"):  # which decides nothing then
        stored = None
    return same_folder(stored, value) if name == "data_dir" else _same(stored, value)


def _same(stored: object, asked: str) -> bool:
    if ".py:" in asked and Path(asked).name != asked:  # of that file, and of no other one of its name
        parts = Path(asked).parts
        return reference(asked) == stored or (len(parts) > 1 and Path(str(stored)).parts[-len(parts) :] == parts)
    stored = without_folder(stored)
    if isinstance(stored, list):
        return asked in (str(stored), " ".join(map(str, stored)))
    if isinstance(stored, bool):
        return str(stored).lower() == asked.lower()
    if isinstance(stored, int | float):
        try:
            return float(asked) == stored
        except ValueError:
            return False
    return str(stored) == str(without_folder(asked))


def _values(root: str | Path, asked: Mapping[str, str]) -> str:
    """The values that runs have of the settings that were asked for."""
    runs: Sequence[Run] = pruning_runs(root)
    lists = [f" {option_name(name)} there: {', '.join(sorted({_told(run, name) for run in runs}))}." for name in asked]
    return "".join(lists) if runs else " There are no pruning runs at all."


def _told(run: Run, name: str) -> str:
    if name == "data":
        return str(data_name(run.manifest.config, run.manifest.contents))
    return str(run.manifest.config.get(name))
