"""Runs on a device, and what they came to in numbers that another device's must equal."""

from __future__ import annotations

import shutil
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from gpu_cases import DENSE, Case
from prunebench import PrunebenchError, RunConfig, prune, pruning_run, train
from prunebench.experiment.resolve import dense_run
from prunebench.runs.run import Run


def train_dense(root: Path, threads: int, model: str) -> None:
    """Train a model on the CPU as runs need it that share it."""
    settings = {**DENSE[model], "limit_train": 256, "limit_test": 100}
    config = RunConfig(**settings, device="cpu", threads=threads, runs_dir=str(root))
    train(config, dense_run(config))


def outcome(case: Case, device: str, dense: Path, place: Path, threads: int) -> dict[str, Any]:
    """What a run came to that starts from what lies in `dense`, in a folder of its own; an error is part of it."""
    started = time.perf_counter()
    root = Path(tempfile.mkdtemp(dir=place))
    shutil.copytree(dense, root, dirs_exist_ok=True)
    try:
        settings = case.settings
        if device != "cuda" and settings.get("dtype") == "tf32":  # which only a GPU has
            settings = {**settings, "dtype": "fp32"}
        found = _computed(RunConfig(**settings, device=device, threads=threads, runs_dir=str(root)))
    except PrunebenchError as error:
        found = {"refused": str(error).replace(str(root), "")}
    except Exception as error:  # what is found is told, and the others go on
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = [f for f in traceback.extract_tb(error.__traceback__) if "prunebench" in f.filename]
        at = " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in [last, *where[::-1]])
        found = {"failed": f"{type(error).__name__}: {' '.join(str(error).split())[:300]} ({at[:300]})"}
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return {**found, "seconds": time.perf_counter() - started}


def _computed(config: RunConfig) -> dict[str, Any]:
    run = pruning_run(config)
    records = list(prune(config, run))
    last = records[-1]
    return {
        "units": [[[unit.kind, unit.left] for unit in record.units] for record in records],
        "weights": [[record.prunable_weights_left, record.params, record.nonzero_params] for record in records],
        "removed": [[block.name for block in record.removed] for record in records],
        "macs": [record.macs for record in records],
        "finite": all(torch.isfinite(tensor).all().item() for tensor in tensors(run, last.step).values()),
        "revived": revived(run, last.step),
    }


def tensors(run: Run, step: int) -> dict[str, torch.Tensor]:
    """The parameters and buffers of a step as they were stored."""
    return load_file(run.checkpoint(step) / "model.safetensors")


def revived(run: Run, step: int) -> int:
    """How many masked weights of a step are stored as anything but zero."""
    path = run.checkpoint(step) / "masks.safetensors"
    if not path.exists():
        return 0
    stored = tensors(run, step)
    return sum(int(stored[name][~mask.bool()].count_nonzero()) for name, mask in load_file(path).items())


def problems(here: dict[str, Any], there: dict[str, Any]) -> list[str]:
    """What is wrong with an outcome of a device beside the CPU's."""
    if "failed" in here or "failed" in there:
        return [f"{where}: {of['failed']}" for where, of in (("here", here), ("CPU", there)) if "failed" in of]
    if "refused" in here or "refused" in there:
        told = here.get("refused"), there.get("refused")
        return [] if told[0] == told[1] else [f"refused here: {told[0]}; on the CPU: {told[1]}"]
    found = [] if here["finite"] else ["weights are not finite"]
    found += [f"{here['revived']} masked weights are not zero"] if here["revived"] else []
    for name in ("units", "weights", "macs", "removed"):
        if here[name] != there[name]:
            found.append(f"{name}: {here[name]} here, {there[name]} on the CPU")
    return found
