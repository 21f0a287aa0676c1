"""The runs by which a device is checked: methods, criteria, scopes, patterns and ways of retraining on small data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

BASE: dict[str, Any] = {"fraction": 0.5, "iterations": 1, "calibration": 64, "limit_train": 256, "limit_test": 100}
DENSE: dict[str, dict[str, Any]] = {
    "resnet18": {"model": "resnet18", "image_size": 32, "epochs": 1},
    "bert": {"model": "bert", "sequence_length": 48, "epochs": 1},
}
"""The models, and how they are trained before they are pruned."""


FEW_LAYERS = {"resnet18": {"include": ("layer1",)}, "bert": {"include": ("bert.encoder.layer.0",)}}
"""What is pruned of a model where that takes long on a CPU."""


@dataclass(frozen=True)
class Case:
    """A run: its name and its settings."""

    name: str
    settings: dict[str, Any]


def cases() -> list[Case]:
    """All of them."""
    found = [*_criteria(), *_amounts(), *_retraining(), *_training()]
    return [Case(f"{one.settings['model']}, {one.name}", {**BASE, **one.settings}) for one in found]


def _case(model: str, name: str, **settings: Any) -> Case:
    return Case(name, {**DENSE[model], **settings})


def few_layers(model: str, criterion: str) -> dict[str, Any]:
    """That a criterion which solves prunes few layers."""
    from prunebench.pruning.registry import criteria

    return FEW_LAYERS[model] if criteria.get(criterion).solve is not None else {}


def _criteria() -> list[Case]:
    """Every criterion by every method that it fits."""
    from prunebench.pruning.registry import criteria, methods

    return [
        _case(model, f"{method}, {criterion}", method=method, criterion=criterion, **few_layers(model, criterion))
        for model in DENSE
        for method in methods.names()
        for criterion in criteria.names()
        if methods.get(method).removes and methods.get(method).fitting(criteria.get(criterion))
    ] + [_case(model, "none", method="none") for model in DENSE]


def _amounts() -> list[Case]:
    """Every scope, patterns, schedules and targets."""
    from prunebench.pruning.amounts import schedules
    from prunebench.pruning.shares import scopes

    weights = {"method": "unstructured", "criterion": "l1"}
    found = [
        _case("resnet18", f"unstructured, scope {name}", **weights, scope=name)
        for name in scopes.names()
        if scopes.get(name).masks
    ]
    found += [
        _case("resnet18", f"structured, scope {name}", method="structured", scope=name, fraction=0.3)
        for name in scopes.names()
        if scopes.get(name).pool
    ]
    for model in DENSE:
        for pattern in ("2:4", "4x1", "16x16", "row"):
            share = {} if ":" in pattern else {"sparsity": 0.5}
            about = {"method": "unstructured", "pattern": pattern, "fraction": None, **share}
            found.append(_case(model, f"pattern {pattern}", **about))
    found.append(
        _case(
            "bert",
            "pattern 2:4, sparsegpt",
            method="unstructured",
            criterion="sparsegpt",
            pattern="2:4",
            **FEW_LAYERS["bert"],
        )
    )
    for name in schedules.names():
        about = {"sparsity": 0.6, "fraction": None, "sparsity_schedule": name, "iterations": 2}
        found.append(_case("resnet18", f"schedule {name}", **weights, **about))
    layered = {"method": "structured", "fraction": None}
    found.append(_case("resnet18", "target of MACs", **layered, macs=0.4))
    found.append(_case("resnet18", "target of parameters", **layered, compression=2.0))
    found.append(_case("resnet18", "while training", **weights, fraction=None, sparsity=0.5, every=1, iterations=2))
    return found


def _retraining() -> list[Case]:
    """Every way of retraining."""
    from prunebench.training.policies import policies

    return [
        _case(model, f"{method}, retrain {name}", method=method, retrain=name)
        for model in DENSE
        for method in ("unstructured", "structured")
        for name in policies.names()
    ]


def _training() -> list[Case]:
    """Optimizers with masks, in every arithmetic, with and without clipping; memory layouts; augmentation."""
    found = [
        _case(
            model,
            f"{optimizer}, {dtype}, clip {clip:g}",
            method="unstructured",
            finetune_optimizer=optimizer,
            dtype=dtype,
            clip_norm=clip,
            weight_decay=0.01,
            finetune_epochs=3,
            iterations=2,
        )
        for model in DENSE
        for optimizer in ("sgd", "adam", "adamw")
        for dtype in ("fp32", "tf32", "bf16", "fp16")
        for clip in (0.0, 1.0)
    ]
    found.append(_case("resnet18", "bf16, structured", method="structured", dtype="bf16", iterations=2))
    found.append(_case("resnet18", "channels last", method="structured", memory_format="channels_last"))
    found.append(_case("resnet18", "augmented", method="structured", augment=True))
    found.append(_case("resnet18", "all parameters", method="unstructured", targets="all"))
    found.append(_case("resnet18", "rounded widths", method="structured", round_to=8, fraction=0.3))
    found.append(_case("bert", "through norms", method="structured", through_norms=True))
    return found
