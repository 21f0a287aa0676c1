"""Task: data, and the one place that knows what a batch looks like. Vision and text differ here alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from prunebench.data.dataset import Part
from prunebench.models.inputs import Inputs

if TYPE_CHECKING:
    import torch

Batch = tuple[Any, "torch.Tensor"]


class Task(Protocol):
    """Train, test and validation data of one classification problem; the last is empty where none is held out.

    Attributes:
        inputs: what a batch looks like.
        classes: number of classes.
    """

    inputs: Inputs
    classes: int

    def labels(self, part: Part) -> torch.Tensor:
        """Labels of every sample, int64 of shape (samples,), on the CPU."""

    def batches(
        self, part: Part, chunks: Sequence[torch.Tensor], device: torch.device, *, augment: bool = False
    ) -> Iterator[Batch]:
        """For each chunk of sample indices: what the model reads and the labels, on the device.

        Lazy: random augmentation of a batch draws from torch's global generator when that batch is asked for.
        """
