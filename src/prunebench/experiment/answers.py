"""Answers: which samples a model answers rightly, packed to be kept, and which another machine may answer otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from prunebench.data.task import Objective
from prunebench.records import Answers, Bits, Predictions, Scores
from prunebench.training.distributed import ALONE, Group


@dataclass(frozen=True)
class Answered:
    """What one evaluation found, sample by sample.

    Attributes:
        scores: the sums.
        right: whether a sample is answered rightly, bool of shape (samples,).
        swings: metric → by how much it may change per sample elsewhere, of the same shape; empty where nobody asked.
    """

    scores: Scores
    right: torch.Tensor
    swings: Mapping[str, torch.Tensor]


@dataclass
class Watching:
    """Collects answers while a model is evaluated; with a `share`, also what such rounding could change."""

    objective: Objective
    share: float | None = None
    _right: list[torch.Tensor] = field(default_factory=list)
    _swings: dict[str, list[torch.Tensor]] = field(default_factory=dict)

    def __call__(self, output: torch.Tensor, target: torch.Tensor) -> None:
        """See a batch."""
        self._right.append(self.objective.right(output, target))
        if self.share is not None:
            for metric, swing in self.objective.swings(output, target, self.share).items():
                self._swings.setdefault(metric, []).append(swing)

    def answered(self, scores: Scores, group: Group = ALONE) -> Answered:
        """All that was seen, by all processes of a group, on the CPU."""
        right = torch.cat(group.gathered(_joined(self._right, torch.bool)))
        asked = () if self.share is None else self.objective.metrics
        swings = {metric: torch.cat(group.gathered(_joined(self._swings.get(metric, [])))) for metric in asked}
        return Answered(scores, right, {metric: swing for metric, swing in swings.items() if len(swing)})


def _joined(parts: Sequence[torch.Tensor], dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Figures of all samples that were seen, on the CPU."""
    return torch.cat([each.cpu() for each in parts]) if parts else torch.empty(0, dtype=dtype)


@dataclass
class Predicting:
    """Collects what a model answers, and what it should, while it is evaluated."""

    objective: Objective
    _answers: list[torch.Tensor] = field(default_factory=list)
    _confidences: list[torch.Tensor] = field(default_factory=list)
    _labels: list[torch.Tensor] = field(default_factory=list)

    def __call__(self, output: torch.Tensor, target: torch.Tensor) -> None:
        """See a batch."""
        answer, confidence = self.objective.answers(output)
        self._answers.append(answer)
        self._confidences.append(confidence)
        self._labels.append(target)

    @property
    def predictions(self) -> Predictions:
        """All that was answered, to be kept."""
        return Predictions(_bytes(self._answers, "<i4"), _bytes(self._confidences, "<f4"))

    @property
    def labels(self) -> bytes:
        """What should have been, to be kept."""
        return _bytes(self._labels, "<i4")


def packed(right: Mapping[str, torch.Tensor]) -> Answers:
    """The answers to each part of the data, to be kept."""
    return Answers(
        parts={part: Bits(len(of), np.packbits(of.numpy()).tobytes()) for part, of in right.items()},
    )


def unpacked(bits: Bits) -> torch.Tensor:
    """The answers to one part of the data, bool of shape (samples,); fewer where bytes are missing."""
    found = np.unpackbits(np.frombuffer(bits.packed, np.uint8), count=min(bits.count, 8 * len(bits.packed)))
    return torch.from_numpy(found.astype(bool))


def _bytes(parts: list[torch.Tensor], kind: str) -> bytes:
    return torch.cat(parts).cpu().numpy().astype(kind).tobytes()
