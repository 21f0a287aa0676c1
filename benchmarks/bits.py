"""What short runs of every kind compute, as numbers and hashes: whether a change of prunebench changes any of them.

    python benchmarks/bits.py > tests/bits.json       before a change
    python benchmarks/bits.py --against tests/bits.json

Weights are the same to the bit on one kind of CPU with one version of PyTorch only; what was counted of their shapes is
the same everywhere.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from prunebench import RunConfig, prune, pruning_run
from prunebench.models.mask_bits import unpacked
from prunebench.models.tensor_files import read_tensors
from prunebench.runs.environment import cpu
from prunebench.studies.file import read_study
from prunebench.studies.jobs import do, jobs_of
from prunebench.studies.study import experiments_of

SMALL = RunConfig(limit_train=128, limit_test=60, epochs=1, iterations=2, finetune_epochs=1, threads=1, device="cpu")
RUNS: dict[str, dict[str, Any]] = {
    "alexnet, structured": {"model": "alexnet", "fraction": 0.2},
    "alexnet, unstructured in each layer": {"model": "alexnet", "method": "unstructured", "scope": "layerwise"},
    "vgg16, unstructured": {"model": "vgg16", "method": "unstructured", "fraction": 0.5, "limit_train": 48},
    "resnet18, structured, augmented": {"model": "resnet18", "augment": True},
    "resnet18, all weights at random": {
        **{"model": "resnet18", "method": "unstructured", "criterion": "random", "targets": "all"},
    },
    "resnet50, rounded widths": {"model": "resnet50", "fraction": 0.2, "round_to": 8, "limit_train": 48},
    "bert, structured": {"model": "bert", "fraction": 0.2},
    "bert, unstructured": {"model": "bert", "method": "unstructured", "fraction": 0.5},
    "two phases of training": {"model": "resnet18", "weights": "first.toml", "criterion": "l1"},
    "own model and criterion": {"model": "own.py:build", "criterion": "own.py:score", "fraction": 0.25},
    "bf16": {"model": "resnet18", "method": "unstructured", "dtype": "bf16"},
    "held-out data, small stem": {
        **{"model": "resnet18", "model_arg": ("stem=small",), "validation": 0.2, "image_size": 16},
    },
    "control, clipped": {
        **{"model": "alexnet", "method": "none", "finetune_optimizer": "sgd", "clip_norm": 1.0},
    },
}
FILES = {
    "first.toml": 'model = "resnet18"\nepochs = 1\nfreeze = true\nlr = 0.01\n',
    "own.py": """
from torch import nn
def build(classes, width=12):
    return nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(width, 2 * width, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * width, classes))
def score(weight, name):
    return weight.abs() + (0.01 if "0" in name else 0)
""",
    "study.toml": """
controls = true
[base]
model = "resnet18"
image_size = 16
epochs = 1
limit_train = 64
limit_test = 40
iterations = 1
finetune_epochs = 1
fraction = 0.3
[grid]
criterion = ["l1", "l2"]
seed = [0, 1]
""",
}


def steps_of(run: Any) -> dict[str, Any]:
    """What a run has recorded by step: what depends on shapes alone, and what depends on every bit of the weights."""
    shapes, bits = [], []
    for record in run.records():
        counts = [record.params, record.nonzero_params, record.macs, record.prunable_weights_left]
        shapes.append([*counts, [[unit.kind, unit.left] for unit in record.units]])
        scored = [[of.correct, of.total, round(of["loss"], 6)] for of in (record.test_after, record.train_after)]
        folder = run.step_folder(record.step)
        bits.append([record.loss, scored, [digest(path) for path in sorted(folder.glob("*.safetensors"))]])
    return {"shapes": shapes, "bits": bits}


def digest(path: Path) -> str:
    """SHA-256 of the names and tensors of a file, its beginning."""
    total = hashlib.sha256()
    tensors, metadata = read_tensors(path)
    tensors = unpacked(tensors, metadata) if path.name == "masks.safetensors" else tensors
    for name, tensor in sorted(tensors.items()):
        total.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        total.update(tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return total.hexdigest()[:12]


def compute(folder: Path) -> dict[str, Any]:
    """Compute every run in a folder."""
    for name, text in FILES.items():
        (folder / name).write_text(text)
    found: dict[str, Any] = {}
    for name, settings in RUNS.items():
        here = {key: str(folder / settings[key]) for key in ("model", "criterion") if ".py:" in settings.get(key, "")}
        here |= {"weights": str(folder / settings["weights"])} if "weights" in settings else {}
        given = {key: getattr(SMALL, key) for key in SMALL.__struct_fields__ if getattr(SMALL, key) is not None}
        config = RunConfig(**{**given, **settings, **here, "runs_dir": str(folder / "runs")})
        run = pruning_run(config)
        for _ in prune(config, run):
            pass
        found[name] = steps_of(run)
        print(name, file=sys.stderr)
    study = experiments_of(read_study(folder / "study.toml"), str(folder / "runs"))
    for job in jobs_of(study):
        assert do(job).fine, job.key
    for each in study:
        name = f"study: {each.settings.method} {each.settings.criterion} {each.settings.seed}"
        found[name] = steps_of(each.run)
    return {"cpu": cpu(), "torch": torch.__version__.partition("+")[0], "runs": found}


def differing(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """What differs between two outcomes of `compute`; bits only where both were computed by the same."""
    same = all(one[name] == other[name] for name in ("cpu", "torch"))
    kinds = ("shapes", "bits") if same else ("shapes",)
    lines = [] if same else [f"bits not compared: {one['cpu']}, {one['torch']}; {other['cpu']}, {other['torch']}"]
    for name in sorted({*one["runs"], *other["runs"]}):
        for kind in kinds:
            was, now = (of["runs"].get(name, {}).get(kind) for of in (one, other))
            if was != now:
                lines.append(f"{name}: {kind} differ: {was} {now}")
    return lines


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, help="compare with this file instead of printing")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        outcome = json.loads(json.dumps(compute(Path(place))))
    if chosen.against is None:
        print(json.dumps(outcome))
    else:
        print("\n".join(differing(json.loads(chosen.against.read_text()), outcome)) or "nothing differs")
