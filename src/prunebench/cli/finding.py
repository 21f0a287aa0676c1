"""Find the run that a command is about: by name, or the newest that fits the options that were given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from prunebench.config import RunConfig, deciding, default, field_types
from prunebench.errors import RunError
from prunebench.runs import settings
from prunebench.store import Run, find, fitting


def find_run(given: RunConfig, name: str | None, kinds: Sequence[str]) -> Run | None:
    """The run of that name, or the newest of the first kind that has one fitting; None where there is none.

    Raises:
        RunError: the named run is missing or ambiguous, or is of another kind.
    """
    root = given.runs_dir or default("runs_dir")
    if name is not None:
        run = find(root, name)
        if run.info.kind not in kinds:
            raise RunError(f"Run {run.info.key} is a {run.info.kind} run; name a {' or '.join(kinds)} run.")
        return run
    wanted = settings(given)
    chosen = {key: wanted[key] for key in deciding("training", "pruning") if getattr(given, key) is not None}
    for kind in kinds:
        fields = deciding("training") if kind == "train" else list(chosen)
        runs = fitting(root, kind, chosen) if set(chosen) <= set(fields) else []
        runs = [run for run in runs if run.steps()[-1] >= (kind == "prune")]  # step 0 of a pruning run is unpruned
        if runs:
            return runs[0]
    return None


def config_of(run: Run, given: RunConfig) -> RunConfig:
    """The config of a run; where data and results are, device and threads come from the options if given."""
    stored: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in run.info.config.items()
        if name in field_types()
    }
    over: dict[str, Any] = {
        name: getattr(given, name)
        for name in deciding("nothing")
        if name != "iterations" and getattr(given, name) is not None
    }
    named = {name: getattr(given, name) for name in ("model", "dataset", "criterion") if callable(getattr(given, name))}
    return msgspec.structs.replace(RunConfig(**stored), **over, **named)
