"""Find the run that a command is about: by name, or the newest that fits the options that were given."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from prunebench.config import RunConfig, deciding, default, is_weight_file, option_name, told
from prunebench.data.dataset import datasets
from prunebench.errors import DataError, RunError
from prunebench.experiment.existing import of_run
from prunebench.experiment.experiment import Experiment
from prunebench.experiment.identity import NAMES, files_digest
from prunebench.experiment.resolve import stored_settings
from prunebench.registry import is_code, without_folder
from prunebench.runs.apart import data_told, same_folder
from prunebench.runs.commands import as_options
from prunebench.runs.index import all_runs, find, is_run_folder
from prunebench.runs.run import Run

log = logging.getLogger(__name__)


def find_run(given: RunConfig, name: str | None, kinds: Sequence[str]) -> Run | None:
    """The run of that name, or the newest of the first kind that has one fitting; None where there is none.

    Where a folder of data is given, a run fits whose data is in it, wherever that was, or was in it.

    Raises:
        RunError: the named run is missing or ambiguous, is of another kind, or was made with other options.
        DataError: the folder of data that is given is none.
    """
    root = given.runs_dir or default("runs_dir")
    chosen = chosen_settings(given)
    if name is not None:
        run = find(root, name)
        if run.manifest.kind not in kinds:
            raise RunError(f"Run {run.key} is a {run.manifest.kind} run; name a {' or '.join(kinds)} run.")
        for field in chosen:
            if not _fits(run, {field: chosen[field]}) and not _in_place(run, field, chosen[field]):
                stored = run.manifest.config.get(field)
                made = as_options({field: stored}) if stored != [] else f"no {option_name(field)}"
                raise RunError(f"Run {run.key} was made with {made}; leave the option out.")
        return run
    runs = [run for run in all_runs(root) if run.manifest.kind == "train" or run.steps()[-1] > 0]
    other = None
    for of in (lambda value: value, without_folder):  # the very file first, then one that may have been elsewhere
        for kind in kinds:
            found = [run for run in runs if run.manifest.kind == kind and _fits(run, chosen, of)]
            if same := _of_data(found, given, root):
                return same[0]
            other = other or next(iter(found), None)
    if other is not None:
        log.info("run %s has these settings, but its data is: %s", other.key, data_told(other))
    return None


def _of_data(runs: Sequence[Run], given: RunConfig, root: str) -> list[Run]:
    """Those of some runs whose data is in the folder that was given; if there are none, those whose data was.

    All of them where no folder was given; those of data that is the user's own or not there yet, where none is known.
    """
    if given.data_dir is None or not runs:
        return list(runs)
    there = [run for run in runs if same_folder(run.manifest.config.get("data_dir"), given.data_dir)]
    digests: dict[str, str | None] = {}
    for dataset in {_dataset(run) for run in runs}:
        entry = datasets.known(dataset)
        try:
            digests[dataset] = files_digest(entry, Path(given.data_dir), root) if entry else None
        except DataError:
            if not there:
                raise
    data = [(run, run.manifest.contents.get("data"), digests.get(_dataset(run))) for run in runs]
    same = [run for run, mine, here in data if mine is not None and mine == here]
    unknown = [run for run, mine, here in data if here is None and (mine is not None or given.dataset is not None)]
    return same or there or unknown


def _dataset(run: Run) -> str:
    return str(run.manifest.config.get("dataset"))  # whatever a run from elsewhere has stored


def weights_alone(given: RunConfig) -> bool:
    """Whether options ask for a file or folder of weights itself, and for no run that started from it."""
    weights = str(given.weights)
    there = is_weight_file(weights) or (Path(weights).is_dir() and not is_run_folder(weights))
    return there and all(getattr(given, name) is None for name in deciding("pruning"))


def chosen_settings(given: RunConfig) -> dict[str, Any]:
    """Those of the given options that decide a result, as they are written into a run."""
    wanted = stored_settings(given)
    return {name: wanted[name] for name in deciding("training", "pruning") if getattr(given, name) is not None}


def _fits(run: Run, chosen: Mapping[str, Any], of: Callable[[Any], Any] = without_folder) -> bool:
    fields = deciding("training") if run.manifest.kind == "train" else deciding("training", "pruning")
    return all(name in fields and of(told(run.manifest.config, name)) == of(told(chosen, name)) for name in chosen)


def _in_place(run: Run, field: str, value: object) -> bool:
    """Whether a function is given in the place of one that a run names."""
    return field in NAMES and is_code(field, str(value)) and is_code(field, str(run.manifest.config.get(field)))


def as_computed(run: Run, given: RunConfig, *, trusted: bool) -> Experiment:
    """As `experiment_of`, but on the device and with the threads that the run was computed with, unless given."""
    was = run.environment()
    here = {"device": was.device, "threads": was.threads, "deterministic": was.deterministic}
    missing = {name: value for name, value in here.items() if getattr(given, name) is None}
    return experiment_of(run, msgspec.structs.replace(given, **missing), trusted=trusted)


def experiment_of(run: Run, given: RunConfig, *, trusted: bool) -> Experiment:
    """The experiment of a run; where data and results are, device and threads, and the user's files, as given."""
    over = {name: getattr(given, name) for name in (*deciding("nothing"), *NAMES) if name != "iterations"}
    return of_run(run, {name: value for name, value in over.items() if value is not None}, trusted=trusted)
