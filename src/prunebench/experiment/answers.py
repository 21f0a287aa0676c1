"""Answers: which samples a model answers rightly, packed to be kept, and which another machine may answer otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

from prunebench.data.task import Objective
from prunebench.records import Answers, Bits, Scores


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

    def answered(self, scores: Scores) -> Answered:
        """All that was seen, on the CPU."""
        swings = {metric: torch.cat(parts).cpu() for metric, parts in self._swings.items()}
        return Answered(scores, torch.cat(self._right).cpu(), swings)


def packed(right: Mapping[str, torch.Tensor]) -> Answers:
    """The answers to each part of the data, to be kept."""
    return Answers(
        parts={part: Bits(len(of), np.packbits(of.numpy()).tobytes()) for part, of in right.items()},
    )


def unpacked(bits: Bits) -> torch.Tensor:
    """The answers to one part of the data, bool of shape (samples,); fewer where bytes are missing."""
    found = np.unpackbits(np.frombuffer(bits.packed, np.uint8), count=min(bits.count, 8 * len(bits.packed)))
    return torch.from_numpy(found.astype(bool))
