"""Which run prunes or times by a config, why a new one starts, and what of it is there."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from typing import Any

from prunebench.config import RunConfig, deciding, field_types
from prunebench.experiment.resolve import NAMES, dense_run, identity, phases, resolve, settings
from prunebench.records import RunInfo, StepRecord
from prunebench.registry import without_folder
from prunebench.runs.index import all_runs, identify
from prunebench.runs.lock import held
from prunebench.runs.run import Run


def pruning_run(config: RunConfig) -> Run:
    """The run that prunes by a config."""
    config = resolve(config)
    dense = dense_run(config)
    fields = deciding("training", "pruning")
    return dense.sibling(identity("prune", config, fields, NAMES, dense.info.key))


def untrained(config: RunConfig) -> list[tuple[RunConfig, Run]]:
    """The trainings that a config still needs, in their order, with their runs; none where its dense model is there."""
    found = [(phase, dense_run(phase)) for phase in phases(resolve(config))]
    return [] if found[-1][1].steps() else [(phase, run) for phase, run in found if not run.steps()]


def why_new(run: Run) -> str | None:
    """Why a run starts anew although one of the same settings exists; None where none does."""
    mine = _comparable(run.info)
    for other in all_runs(run.root):
        if other.info.key != run.info.key and other.info.kind == run.info.kind and _comparable(other.info) == mine:
            changed = _apart(run.info.contents, other.info.contents)
            what = f"{' and '.join(changed)} changed" if changed else "prunebench computes it differently now"
            return f"{what} since run {other.info.key}, so this is a new run"
    return None


def efficiency_run(config: RunConfig, settings_of_timing: Mapping[str, Any], timed: Run | None) -> Run:
    """The run that times a pruning run, or untrained weights; every machine has its own."""
    config = resolve(config)
    pruning = timed or pruning_run(config)
    machine = {"host": platform.node(), "cores": os.cpu_count(), "device": config.device, "threads": config.threads}
    chosen = {**settings_of_timing, **machine, "of": pruning.info.key, "trained": timed is not None}
    given = {name: value for name, value in settings_of_timing.items() if value is not None}
    values = {**settings(config), **given}
    info = identify("efficiency", values, chosen, {}, pruning.info.key if timed else None)
    return Run(str(config.runs_dir), info)


def stored_config(run: Run, **over: Any) -> RunConfig:
    """The config that a run was made of, but for what `over` says."""
    stored: dict[str, Any] = {name: value for name, value in run.info.config.items() if name in field_types()}
    return RunConfig(**{**stored, **over})


def answer(run: Run, config: RunConfig) -> list[StepRecord] | None:
    """The records of the steps that a resolved config asks for, if the run has them all; else None.

    Checkpoints that `keep` does not ask for are removed.
    """
    if not finished(run, config):
        return None
    if config.keep != "all":
        with held(run.folder):
            trim(run, config)
    run.tidy()
    return [run.record(step) for step in range((config.iterations or 0) + 1)]


def finished(run: Run, config: RunConfig) -> bool:
    """Whether a run has every step that a resolved config asks for."""
    last = 0 if run.info.kind == "train" else config.iterations or 0
    return set(range(last + 1)) <= set(run.steps())


def trim(run: Run, config: RunConfig) -> None:
    """Remove the checkpoints that `keep` does not ask for."""
    kept = run.checkpoints()
    if config.keep == "records" and finished(run, config):
        run.drop_checkpoints(kept)
    elif config.keep != "all":
        run.drop_checkpoints(kept[:-1])


def changed_contents(run: Run, config: RunConfig) -> list[str]:
    """Which of the files that decide a run's result (model, data, criterion …) are no longer what they were."""
    now = (pruning_run(config) if run.info.kind == "prune" else dense_run(config)).info.contents
    return _apart(now, run.info.contents)


def _apart(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    return [name for name in sorted({*one, *other}) if one.get(name) != other.get(name)]


def _comparable(info: RunInfo) -> dict[str, Any]:
    fields = deciding("training") if info.kind == "train" else deciding("training", "pruning")
    return {name: without_folder(info.config.get(name)) for name in fields}
