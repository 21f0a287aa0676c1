"""Deterministic runs on a device: repeated, and killed again and again, they come to the same bits."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import torch

from gpu_cases import BASE, DENSE
from gpu_runs import tensors
from prunebench import RunConfig, prune, pruning_run
from prunebench.errors import Stopped

RUNS: dict[str, dict[str, Any]] = {
    "resnet18, structured": {**DENSE["resnet18"], "method": "structured", "criterion": "taylor"},
    "resnet18, unstructured, sgd, bf16": {
        **{**DENSE["resnet18"], "method": "unstructured", "finetune_optimizer": "sgd", "dtype": "bf16"},
    },
    "bert, unstructured, adamw, fp16": {**DENSE["bert"], "method": "unstructured", "dtype": "fp16", "limit_train": 128},
    "alexnet, unstructured": {"model": "alexnet", "image_size": 64, "epochs": 1, "method": "unstructured"},
    "bert, unstructured": {**DENSE["bert"], "method": "unstructured", "criterion": "wanda"},
    "bert, structured, bf16": {**DENSE["bert"], "method": "structured", "dtype": "bf16"},
    "vgg16, structured": {
        **{"model": "vgg16", "image_size": 32, "epochs": 1, "method": "structured", "limit_train": 64},
    },
}


def repeated(settings: dict[str, Any], device: str, place: Path) -> list[str]:
    """What differs between a deterministic run and the same repeated, and the same stopped after ever more batches."""
    settings = {**BASE, **settings, "device": device, "deterministic": True, "iterations": 2}
    ends = []
    for name in ("once", "again", "stopped"):
        config = RunConfig(**settings, runs_dir=str(place / name))
        run = pruning_run(config)
        records = list(prune(config, run)) if name != "stopped" else _stopping(config)
        stored = tensors(run, 2)
        ends.append(([(record.test_after, record.loss) for record in records], stored))
    found = []
    for name, (scores, stored) in zip(("again", "stopped"), ends[1:], strict=True):
        apart = sum(not torch.equal(stored[key], ends[0][1][key]) for key in stored)
        if apart or scores != ends[0][0]:
            found.append(f"{name}: {apart} of {len(stored)} tensors differ")
    return found


def _stopping(config: RunConfig) -> list[Any]:
    """The records of a run that is stopped and goes on until it is finished."""
    for batches in itertools.count(3, 4):
        calls = itertools.count(1)
        try:
            return list(prune(config, pruning_run(config), stop=lambda calls=calls, most=batches: next(calls) >= most))
        except Stopped:
            continue
    raise AssertionError
