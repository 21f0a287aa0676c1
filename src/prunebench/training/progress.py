"""The place where a fit stands, and what keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    import torch


class Mark(msgspec.Struct, frozen=True):
    """Where a fit stands: finished epochs, the finished batches of the next one and the sums over them.

    `mean_loss` is that of the last finished epoch.
    """

    epoch: int = 0
    batch: int = 0
    loss: float = 0.0
    correct: int = 0
    samples: int = 0
    mean_loss: float | None = None

    def place(self, epochs: int) -> str:
        """`after epoch 2 of 5`, with the batch inside an epoch."""
        inside = f", batch {self.batch} of the next" if self.batch else ""
        return f"after epoch {self.epoch} of {epochs}{inside}"


class Journal(Protocol):
    """What keeps a fit's progress, so that it can go on to the bit where it was stopped."""

    @property
    def mark(self) -> Mark:
        """Where to begin; the model is already what it was then."""

    def restore(self, optimizer: torch.optim.Optimizer) -> None:
        """Give a new optimizer the state that it had at the mark."""

    def due(self) -> bool:
        """Whether to keep the progress inside an epoch, since the last time is long ago."""

    def write(self, mark: Mark, optimizer: torch.optim.Optimizer | None) -> None:
        """Keep the progress; no optimizer after the last epoch."""
