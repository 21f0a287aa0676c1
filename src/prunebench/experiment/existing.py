"""What of an experiment is there already: finished steps, runs of the same settings, timings."""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from prunebench.config import OF_UNITS, Settings, default, field_types, told
from prunebench.errors import ConfigError, DiskError, RunError, RunLocked
from prunebench.experiment.checks import check_pruning
from prunebench.experiment.experiment import Experiment, Origin, Stored
from prunebench.experiment.goals import parse
from prunebench.experiment.identity import DECIDING, OF_WEIGHTS, as_stored, file_contents, restored
from prunebench.pruning.registry import criteria, methods
from prunebench.records import StepRecord
from prunebench.registry import without_folder
from prunebench.runs.apart import data_told, same_folder
from prunebench.runs.index import all_runs, identify
from prunebench.runs.lock import held
from prunebench.runs.manifest import Manifest
from prunebench.runs.run import Run

log = logging.getLogger(__name__)

BEFORE = ("global", "layerwise")
"""Scopes that a run of structured pruning has stored where it has none: what units of several layers compete by has
other names."""

PATHS = ("data_dir", "weights", "runs_dir", "results_dir")
"""Settings that may be paths, whose bytes need not be UTF-8."""


def why_new(run: Run) -> str | None:
    """Why a run starts anew although one of the same settings exists; None where none does."""
    mine = _comparable(run.manifest)
    for other in all_runs(run.root):
        theirs = other.manifest
        if theirs.key != run.key and theirs.kind == run.manifest.kind and _comparable(theirs) == mine:
            changed = _apart(run.manifest.contents, theirs.contents)
            if "data" in changed and not same_folder(run.manifest.config["data_dir"], theirs.config.get("data_dir")):
                continue  # it is not that data which changed
            if not changed and run.manifest.config["iterations"] != theirs.config["iterations"]:
                return (
                    f"run {theirs.key} comes to the same target in {theirs.config['iterations']} iterations: each "
                    f"number of iterations takes other steps, so this is a new run"
                )
            what = f"{' and '.join(changed)} changed" if changed else "prunebench computes it differently now"
            return f"{what} since run {theirs.key}, so this is a new run"
    return None


def efficiency_run(experiment: Experiment, timing: Mapping[str, Any], timed: Run | None) -> Run:
    """The run that times a pruning run, or untrained weights, by these settings; every machine has its own."""
    settings, pruning = experiment.settings, timed or experiment.run
    machine = {"host": platform.node(), "cores": os.cpu_count(), "device": settings.device, "threads": settings.threads}
    chosen = {**timing, **machine, "of": pruning.key, "trained": timed is not None}
    values = as_stored(settings, experiment.origin.run) | {name: v for name, v in timing.items() if v is not None}
    source = pruning.key if timed else None
    return Run(settings.runs_dir, identify("efficiency", values, chosen, {}, source))


def of_run(run: Run, given: Mapping[str, Any], *, trusted: bool = False) -> Experiment:
    """The experiment that a run was made of. What it starts from is not looked for: its own steps are there.

    Args:
        run: of any kind.
        given: settings that are not the run's own: where data and results are, device and threads, and what builds the
            model or loads the data in the place of the code that the run names.
        trusted: whether code that the run names may be imported in any case.

    Raises:
        RunError: its settings are damaged.
    """
    stored: dict[str, Any] = {name: value for name, value in run.manifest.config.items() if name in field_types()}
    stored.setdefault("resize", "crop")  # what was done to every image before there was a choice
    method = methods.known(stored.get("method")) or methods.get(default("method"))
    if not method.masks:
        kept = stored.get("scope") if method.narrows and stored.get("scope") not in BEFORE else None
        stored |= {**dict.fromkeys(OF_WEIGHTS), "scope": kept}  # stored as their default
    stored |= {name: restored(stored[name]) for name in PATHS if isinstance(stored.get(name), str)}
    places = {"runs_dir": str(run.root), "results_dir": default("results_dir")}  # a run says nothing about those here
    usual = {name: default(name) for name in field_types()}
    try:
        settings = Settings(**usual | {"criterion": method.criterion} | stored | places | dict(given))
        goals = tuple(parse(text) for text in settings.until)
    except ConfigError as error:
        raise RunError(f"The settings of run {run.key} in {run.folder} are damaged: {error}") from error
    return Experiment(settings, goals, Origin("none"), Stored(run, frozenset(given), trusted))


def pruned_otherwise(experiment: Experiment, how: Mapping[str, Any]) -> Experiment:
    """The experiment of a run with other settings of how is pruned, such as `method` and `criterion`.

    Raises:
        ConfigError: they do not go together.
    """
    stored = experiment.settings
    method = methods.get(how.get("method", stored.method))
    own = {"criterion": method.criterion} if "method" in how else {}
    of_weights = {name: default(name) if method.masks else None for name in OF_WEIGHTS}
    before = methods.get(stored.method)
    alike = (before.masks, before.narrows) == (method.masks, method.narrows)
    kept = {n: value for n in OF_WEIGHTS if alike and method.removes and (value := getattr(stored, n)) is not None}
    of_units = {} if method.narrows and alike else {name: default(name) for name in ("round_to", *OF_UNITS)}
    settings = msgspec.structs.replace(stored, **{**own, **of_weights, **kept, **of_units, **how})
    settings = msgspec.structs.replace(settings, criterion=criteria.named(settings.criterion))
    origin = experiment.stored
    given = None if origin is None else replace(origin, given=origin.given | how.keys())
    found = replace(experiment, settings=settings, stored=given)
    check_pruning(settings, method)
    return found.settled()  # which imports the criterion now


def finished_records(run: Run, settings: Settings) -> list[StepRecord] | None:
    """The records of the steps that are asked for, if the run has them all; else None.

    Checkpoints that `keep` does not ask for are removed, where that can be done.
    """
    if not finished(run, settings):
        return None
    trim_finished(run, settings)
    run.tidy()
    return [run.record(step) for step in range(settings.iterations + 1)]


def finished(run: Run, settings: Settings) -> bool:
    """Whether a run has every step that is asked for."""
    last = 0 if run.manifest.kind == "train" else settings.iterations
    return len([step for step in run.steps() if step <= last]) == last + 1


def trim(run: Run, settings: Settings, needed: Collection[int] = ()) -> None:
    """Remove the checkpoints of a pruning run that `keep` does not ask for, but for those of steps that are `needed`.

    That of a training stays: pruning starts from it, and what is pruned is timed against it.
    """
    if run.manifest.kind != "prune" or settings.keep == "all":
        return
    kept = run.checkpoints()
    wanted = [] if settings.keep == "records" and finished(run, settings) else kept[-1:]
    run.drop_checkpoints([step for step in kept if step not in (*wanted, *needed)])


def trim_finished(run: Run, settings: Settings, needed: Collection[int] = ()) -> None:
    """As `trim`, of a run that nobody computes; where it cannot be changed, that is said and nothing is removed."""
    if settings.keep != "all":
        try:
            with held(run.folder):
                trim(run, settings, needed)
        except (DiskError, RunLocked, OSError) as error:
            log.warning("--keep %s: no checkpoint was removed: %s", settings.keep, error)


def check_contents(run: Run, experiment: Experiment) -> None:
    """Raise RunError where what decides a run is no longer what the run was computed with."""
    now = experiment.run if run.manifest.kind == "prune" else experiment.dense
    _refuse(run, experiment, _apart(now.manifest.contents, run.manifest.contents))


def check_data(run: Run, experiment: Experiment) -> None:
    """Raise RunError where the data is no longer what the run was computed with."""
    _refuse(run, experiment, ["data"] * (run.manifest.contents.get("data") != experiment.data_digest))


def _refuse(run: Run, experiment: Experiment, changed: Sequence[str]) -> None:
    if changed:
        raise RunError(
            f"Run {run.key} was computed with other contents of: {', '.join(changed)}."
            f"{_where(run, experiment) if 'data' in changed else ''} To mix the two tells nothing: give the run's own."
        )


def _where(run: Run, experiment: Experiment) -> str:
    """What a run's data was, and where other data is now."""
    return f" Its data was {data_told(run)}; {experiment.settings.data_dir} (--data-dir) holds other data now."


def changed_contents(run: Run, experiment: Experiment) -> list[str]:
    """Which of what decides a run's result (model, criterion, weights, data …) is no longer what it was.

    Nothing is imported for it. Of files that are gone, and of code that is not written in the file that is named,
    nothing is said.
    """
    now = file_contents(experiment.settings)
    changed = [name for name, found in now.items() if run.manifest.contents.get(name, found) != found]
    return changed + ["data"] * (run.manifest.contents.get("data") != experiment.data_digest)


def _apart(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    return [name for name in sorted({*one, *other}) if one.get(name) != other.get(name)]


def _comparable(manifest: Manifest) -> dict[str, Any]:
    return {name: without_folder(told(manifest.config, name)) for name in DECIDING[manifest.kind]}
