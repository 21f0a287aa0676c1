"""The commands that repeat runs, made from what the runs have stored."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from prunebench.config import deciding, default, field_types, meta, option_name, to_target
from prunebench.runs.index import find, is_run_folder
from prunebench.runs.run import Run

ALWAYS = ("model", "dataset", "method", "criterion", "fraction", "iterations", "seed")
"""Settings that a command names even where they are the default; no fraction where a target stands in its place."""

ELSEWHERE = (
    *("runs_dir", "results_dir", "keep", "checkpoint_every", "workers", "cache", "track"),
    *("device", "devices", "threads", "deterministic"),
)
"""Settings that are no part of what is repeated, or that the environment of the run tells better."""

RESIZED = ("image_size", "sequence_length")
"""Those that the run that is timed has too."""

TIMING = ("backend", "dtype", "int8_samples", "batch_sizes", "image_size", "sequence_length", "ci_width", "time_budget")
"""Settings of a timing run, in the order of the command."""


def as_options(chosen: Mapping[str, Any]) -> str:
    """Settings as they are given on the command line."""
    words = []
    for name, value in chosen.items():
        if isinstance(value, bool):
            words.append(option_name(name) if value else option_name(f"no_{name}"))
        else:
            joined = isinstance(value, list) and all(isinstance(part, float) for part in value) and value
            for part in [",".join(map(str, value))] if joined else value if isinstance(value, list) else [value]:
                words += [option_name(name), str(part)]
    return shlex.join(words)


def command_of(run: Run, source: Run | None = None) -> str | None:
    """The command that computes a training or pruning run, or a timing run of `source`, anew.

    None where the run was made in Python from an object that has no name, such as a lambda.

    Raises:
        RunError: the run is damaged.
    """
    config: Mapping[str, Any] = run.manifest.config
    if any(str(config.get(name)).startswith("<") for name in ("model", "dataset", "criterion")):
        return None
    machine = {"device": run.environment().device, "threads": run.environment().threads}
    if source is not None:
        timing = {name: config[name] for name in TIMING if name in config and name not in RESIZED}
        timing["batch_sizes"] = ",".join(map(str, config["batch_sizes"]))
        timing |= {name: config[name] for name in TIMING if _resized(name, run, source)}
        return f"prunebench efficiency --run {source.key} {as_options(timing | machine)}"
    train = run.manifest.kind == "train"
    names = deciding("training") if train else field_types()
    chosen = {name: config[name] for name in names if _told(name, config)}
    if not train and config.get("scope") not in (None, "layerwise"):
        chosen["floor"] = config.get("floor") or 0.0  # else it would be that of layers that compete
    deterministic = {"deterministic": True} if run.environment().deterministic else {}
    machine |= {"devices": run.environment().devices} if run.environment().devices > 1 else {}
    return f"prunebench {'train' if train else 'prune'} {as_options(chosen | machine | deterministic)}"


def started_from(run: Run) -> Run | None:
    """The run that a run's training went on from; None where it began otherwise, or that one is not there."""
    folder = run.root / str(run.manifest.config.get("weights"))
    return find(run.root, str(folder)) if is_run_folder(folder) else None


def _told(name: str, config: Mapping[str, Any]) -> bool:
    """Whether a command must name a setting: it could be another one without that."""
    value = config.get(name)
    if name == "finetune_epochs" and not config.get("finetune_updates"):
        return value is not None  # else it would be a number of updates
    if name in ELSEWHERE or value is None or (name == "fraction" and to_target(config)):
        return False
    inherits = config.get("weights") != "none" and name in deciding("training")  # a run that another one starts from
    fitted = bool((meta(name).extra or {})["fitted"])
    usual = default(name)
    same = value == (list(usual) if isinstance(usual, tuple) else usual)
    return name in ALWAYS or fitted or inherits or not same


def _resized(name: str, run: Run, source: Run) -> bool:
    return name in RESIZED and run.manifest.config.get(name) != source.manifest.config.get(name)
