"""Task: data, what is asked of a model, and what is counted. Text, images and whatever else differ here alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from prunebench.data.dataset import Part
from prunebench.models.input_spec import InputSpec
from prunebench.records import Shown

if TYPE_CHECKING:
    import torch

Batch = tuple[Any, "torch.Tensor"]


class Objective(Protocol):
    """What a model is trained to do.

    Attributes:
        metrics: names of what is counted, the main one first.
        arguments: what a model's builder must know of it.
    """

    metrics: tuple[str, ...]
    arguments: Mapping[str, int]

    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The mean loss of a batch, a scalar to go down from."""

    def mass(self, target: torch.Tensor) -> float:
        """For how much the loss of a batch counts in the mean of several batches; its samples, if all count alike."""

    def count(
        self, output: torch.Tensor, target: torch.Tensor, metrics: Iterable[str] | None = None
    ) -> Mapping[str, torch.Tensor]:
        """Metric → its sum over a batch, scalars on the device; all metrics, or those that are named."""

    def right(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Per sample of a batch whether the answer is right, as the main metric counts it, bool of shape (batch,)."""

    def answers(self, output: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Per sample of a batch the class that a model gives it, int64, and how probable it holds that, float32, both
        of shape (batch,)."""

    def agrees(self, output: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """Per sample of a batch whether two models give the same answer, by their outputs; bool of shape (batch,)."""

    def divergence(self, output: torch.Tensor, other: torch.Tensor, temperature: float) -> torch.Tensor:
        """By how much the probabilities that a model gives its answers differ from another's, both softened by a
        temperature: KL(other ‖ output) in nats, a mean over samples, a scalar."""

    def swings(self, output: torch.Tensor, target: torch.Tensor, share: float) -> Mapping[str, torch.Tensor]:
        """Metric → by how much it may change per sample, float of shape (batch,), where every value of the sample's
        output changes by at most this share of the largest."""

    def problem(self, shape: tuple[int, ...]) -> str:
        """What is wrong with the shape of a model's output for one sample; empty where nothing is."""

    def doubt(self, output: torch.Tensor) -> str:
        """What is unlikely of a model's output for several samples; empty where nothing is."""


class Targets(Protocol):
    """What a model should answer, sample by sample."""

    def __getitem__(self, part: Part) -> torch.Tensor:
        """Of every sample of a part, on the CPU."""

    def some(self, part: Part, count: int | None = None) -> torch.Tensor:
        """Indices of all samples of a part, int64 in ascending order, or of a fixed representative subset."""


class Task(Protocol):
    """Train, test and validation data, and what a model learns from it; validation is empty where none is held out.

    Attributes:
        inputs: what a batch looks like.
        objective: what is asked of a model.
        targets: what a model should answer.
        notes: what of the data was left out or converted, for the summary.

    It may have `packages`, names of those whose versions decide what a batch is, which runs record then.
    """

    inputs: InputSpec
    objective: Objective
    targets: Targets
    notes: tuple[str, ...]

    def batches(
        self,
        part: Part,
        chunks: Sequence[torch.Tensor],
        device: torch.device,
        *,
        augment: bool = False,
        training: bool = False,
    ) -> Iterator[Batch]:
        """For each chunk of sample indices: what the model reads and what it should answer, on the device.

        Where it is `training`, a transform of the data's own is applied, after what is meant by `augment`. Lazy: random
        augmentation of a batch draws from torch's global generator when that batch is asked for.
        """

    def kinds(self, part: Part) -> Mapping[str, torch.Tensor]:
        """By what the samples of a part can be told apart besides their class, such as "tokens" → a figure per sample,
        float32 of shape (samples,); empty where nothing is at hand."""

    def shown(self, part: Part, samples: torch.Tensor) -> list[Shown]:
        """These samples of a part, to look at."""


def placed(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A tensor of the CPU on a device; to a GPU from pinned memory, so that nobody waits for the copy."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
