"""Classification: what is asked of a model's output, and what of it is counted; and the labels of a dataset."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch.nn import functional as F

from prunebench.data.dataset import Dataset, Part, stratified
from prunebench.data.own_loss import OwnLoss


class Classification:
    """One label out of several: cross-entropy is trained, and correct samples are counted.

    Args:
        classes: how many there are. From more than TOP on it is counted too whether the label is among the first TOP.
        weights: of each class in the loss, float32 of shape (classes,); what is counted knows none.
        own: a loss in the place of cross-entropy, which is then counted too.
    """

    TOP = 5

    def __init__(self, classes: int, weights: torch.Tensor | None = None, own: OwnLoss | None = None) -> None:
        self._weights, self._own = weights, own
        self.arguments: Mapping[str, int] = {"classes": classes}
        top: tuple[str, ...] = ("top1", "top5") if classes > 2 * self.TOP else ("top1",)
        self.metrics: tuple[str, ...] = (*top, "loss" if own is None else "own_loss")

    def loss(self, output: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Mean cross-entropy of logits, shape (batch, classes), a scalar; with weights, by these weighted; or the
        mean of a loss of the user's."""
        if self._own is not None:
            return self._own(output, labels)
        weights = None if self._weights is None else self._weights.to(output.device)
        return F.cross_entropy(output, labels, weight=weights)

    def mass(self, labels: torch.Tensor) -> float:
        """For how much the loss of a batch counts in the mean of several: its samples, or the sum of their weights."""
        return float(len(labels) if self._weights is None else self._weights[labels.cpu()].double().sum())

    def count(
        self, output: torch.Tensor, labels: torch.Tensor, metrics: Iterable[str] | None = None
    ) -> Mapping[str, torch.Tensor]:
        """Metric → its sum over a batch, scalars on the device; all metrics, or those that are named."""
        counted = _COUNTED if self._own is None else _COUNTED | {"own_loss": self._own.total}
        return {name: counted[name](output, labels) for name in metrics or self.metrics}

    def right(self, output: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Per sample, whether the label has the largest logit, bool of shape (batch,)."""
        return output.argmax(1) == labels

    def agrees(self, output: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """Per sample, whether the same class has the largest logit, bool of shape (batch,)."""
        return output.argmax(1) == other.argmax(1)

    def divergence(self, output: torch.Tensor, other: torch.Tensor, temperature: float) -> torch.Tensor:
        """KL(softmax(other / T) ‖ softmax(output / T)) of logits, shape (batch, classes), nats, a mean over samples."""
        mine, theirs = (F.log_softmax(logits.float() / temperature, dim=1) for logits in (output, other))
        return F.kl_div(mine, theirs, reduction="batchmean", log_target=True)

    def answers(self, output: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Per sample the class with the largest logit, int64, and its softmax, float32, both of shape (batch,)."""
        answer = output.argmax(1)
        return answer, output.float().softmax(1).gather(1, answer[:, None])[:, 0]

    def swings(self, output: torch.Tensor, labels: torch.Tensor, share: float) -> Mapping[str, torch.Tensor]:
        """Metric → by how much it may change per sample where every logit changes by this share of the largest.

        A label's place may change where its logit and the one that decides are no further apart than twice that. The
        cross-entropy changes by no more than twice that, since no logit counts more than once in it; a loss of the
        user's by what its slope says.
        """
        logits = output.float()
        reach = 2 * share * logits.abs().amax(1)
        own = logits.gather(1, labels[:, None])
        others = logits.scatter(1, labels[:, None], -torch.inf)
        own_loss = self._own
        found = {"loss": reach} if own_loss is None else {"own_loss": own_loss.swings(output, labels, share)}
        for name, place in (("top1", 1), ("top5", self.TOP)):
            if name in self.metrics:
                found[name] = ((own - others.topk(place, dim=1).values[:, -1:]).abs()[:, 0] <= reach).float()
        return found

    def problem(self, shape: tuple[int, ...]) -> str:
        """What is wrong with the shape of a model's output for one sample; empty where nothing is."""
        classes = self.arguments["classes"]
        return "" if shape == (1, classes) else f"{classes} classes need (1, {classes})"

    def doubt(self, output: torch.Tensor) -> str:
        """What is unlikely of the output for several samples, shape (samples, classes); empty where nothing is."""
        if self._own is not None:  # which may be meant for them
            return ""
        output = output.float()
        if (output >= 0).all() and torch.allclose(output.sum(1), torch.ones(len(output)), atol=1e-3):
            return (
                "its outputs are probabilities: none is below 0, and those of a sample sum to one. The loss takes them "
                "for scores before a softmax, so it learns slowly: leave the last softmax out"
            )
        return ""


def balanced(labels: torch.Tensor, classes: int) -> torch.Tensor:
    """Weights with which all classes count alike: n / (k × samples of the class) for n samples of k classes.

    As scikit-learn's "balanced" (King and Zeng 2001), float32 of shape (classes,); 0 for a class without a sample.
    """
    counts = labels.bincount(minlength=classes).double()
    weights = len(labels) / ((counts > 0).sum() * counts)
    return weights.where(counts > 0, 0).float()


def _top1(output: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return (output.argmax(1) == labels).sum()


def _top5(output: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return (output.topk(Classification.TOP, dim=1).indices == labels[:, None]).sum()


def _loss(output: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(output.float(), labels, reduction="sum")


_COUNTED = {"top1": _top1, "top5": _top5, "loss": _loss}


class Labels:
    """The labels of every part of a dataset, int64 on the CPU."""

    def __init__(self, dataset: Dataset) -> None:
        self._of = {part: torch.as_tensor(split.labels, dtype=torch.int64) for part, split in dataset.splits.items()}

    def __getitem__(self, part: Part) -> torch.Tensor:
        """Labels of every sample, int64 of shape (samples,)."""
        return self._of[part]

    def some(self, part: Part, count: int | None = None) -> torch.Tensor:
        """Indices of all samples, or of a fixed subset of `count` in which each class keeps its share."""
        labels = self._of[part].numpy()
        return torch.from_numpy(stratified(labels, len(labels) if count is None else count))
