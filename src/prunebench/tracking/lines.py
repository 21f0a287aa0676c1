"""Lines: what trackers are told of an epoch and of a step, as figures by name, and the number of each line.

The lines of a run are numbered from 0: the epochs of a training and then its record; of a pruning run the record of its
unpruned model, and then of each step its epochs and its record. So a line has one number, whoever tells it, and when.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from prunebench.records import Scores, StepRecord
from prunebench.runs.manifest import Manifest

Kind = Literal["train", "prune"]

Figures = Mapping[str, float]

Setting = str | int | float | bool


def line_of_epoch(kind: Kind, step: int, epoch: int, epochs: int) -> int:
    """The number of the line of a zero-based epoch, of so many in every step."""
    return epoch if kind == "train" else (step - 1) * (epochs + 1) + 1 + epoch


def line_of_step(kind: Kind, step: int, epochs: int) -> int:
    """The number of the line of a step's record, which comes after its epochs."""
    return epochs if kind == "train" else step * (epochs + 1)


def of_epoch(*, step: int, epoch: int, loss: float, metric: str, score: float, lr: float) -> Figures:
    """What is told of a finished zero-based epoch: its mean training loss, main metric and last learning rate."""
    return {"step": step, "fit/epoch": epoch + 1, "fit/loss": loss, f"fit/{metric}": score, "fit/lr": lr}


def of_step(record: StepRecord, unpruned: StepRecord) -> Figures:
    """What is told of a finished step: scores, costs, and the share of the unpruned model's parameters that is gone."""
    found: dict[str, float] = {"step": record.step}
    found |= _scores("test", record.test_after) | _scores("train", record.train_after)
    found |= _scores("test_before", record.test_before) if record.step else {}
    found |= _scores("validation", record.validation) if record.validation else {}
    found |= {
        "sparsity": 1 - record.nonzero_params / unpruned.nonzero_params,
        "params": record.params,
        "nonzero_params": record.nonzero_params,
        "macs": record.macs,
        "seconds": sum(getattr(record.seconds, name) for name in record.seconds.__struct_fields__),
    }
    optional = {"effective_macs": record.effective_macs, "loss": record.loss, "samples_seen": record.samples_seen}
    return found | {name: value for name, value in optional.items() if value is not None}


def _scores(part: str, scores: Scores) -> dict[str, float]:
    return {f"{part}/{metric}": scores[metric] for metric in scores.counted}


def settings_told(manifest: Manifest) -> dict[str, Setting]:
    """A run's settings as single values: lists as text, and none that are empty."""
    values = {name: value for name, value in manifest.config.items() if value not in (None, [])}
    return {name: value if isinstance(value, Setting) else _joined(value) for name, value in values.items()}


def _joined(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
