"""Find the run that a command is about: by name, or the newest that fits the options that were given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from prunebench.config import RunConfig, deciding, default, is_weight_file, option_name, told
from prunebench.errors import RunError
from prunebench.experiment.existing import stored_config
from prunebench.experiment.resolve import stored_settings
from prunebench.registry import without_folder
from prunebench.runs.commands import as_options
from prunebench.runs.index import all_runs, find
from prunebench.runs.run import Run


def find_run(given: RunConfig, name: str | None, kinds: Sequence[str]) -> Run | None:
    """The run of that name, or the newest of the first kind that has one fitting; None where there is none.

    Raises:
        RunError: the named run is missing or ambiguous, is of another kind, or was made with other options.
    """
    root = given.runs_dir or default("runs_dir")
    chosen = chosen_settings(given)
    if name is not None:
        run = find(root, name)
        if run.manifest.kind not in kinds:
            raise RunError(f"Run {run.key} is a {run.manifest.kind} run; name a {' or '.join(kinds)} run.")
        for field in chosen:
            if not _fits(run, {field: chosen[field]}):
                stored = run.manifest.config.get(field)
                made = as_options({field: stored}) if stored != [] else f"no {option_name(field)}"
                raise RunError(f"Run {run.key} was made with {made}; leave the option out.")
        return run
    runs = all_runs(root)
    for of in (lambda value: value, without_folder):  # the very file first, then one that may have been elsewhere
        for kind in kinds:
            for run in runs:
                pruned = run.manifest.kind == "train" or run.steps()[-1] > 0
                if run.manifest.kind == kind and pruned and _fits(run, chosen, of):
                    return run
    return None


def weights_alone(given: RunConfig) -> bool:
    """Whether options ask for a file or folder of weights itself, and for no run that started from it."""
    weights = str(given.weights)
    is_run = (Path(weights) / "run.json").is_file()
    there = is_weight_file(weights) or (Path(weights).is_dir() and not is_run)
    return bool(given.model) and there and all(getattr(given, name) is None for name in deciding("pruning"))


def chosen_settings(given: RunConfig) -> dict[str, Any]:
    """Those of the given options that decide a result, as they are written into a run."""
    wanted = stored_settings(given)
    return {name: wanted[name] for name in deciding("training", "pruning") if getattr(given, name) is not None}


def _fits(run: Run, chosen: Mapping[str, Any], of: Callable[[Any], Any] = without_folder) -> bool:
    fields = deciding("training") if run.manifest.kind == "train" else deciding("training", "pruning")
    return all(name in fields and of(told(run.manifest.config, name)) == of(told(chosen, name)) for name in chosen)


def config_as_computed(run: Run, given: RunConfig) -> RunConfig:
    """As `config_of`, but on the device and with the threads that the run was computed with, unless given."""
    was = run.environment()
    here = {"device": was.device, "threads": was.threads, "deterministic": was.deterministic}
    missing = {name: value for name, value in here.items() if getattr(given, name) is None}
    return config_of(run, msgspec.structs.replace(given, **missing))


def config_of(run: Run, given: RunConfig) -> RunConfig:
    """The config of a run; where data and results are, device and threads, and the user's files, as given."""
    named = ("model", "dataset", "criterion")
    over = {name: getattr(given, name) for name in (*deciding("nothing"), *named) if name != "iterations"}
    return stored_config(run, **{name: value for name, value in over.items() if value is not None})
