"""Multi-label classification: a sample may have several labels, or none; and the label sets of a dataset."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch.nn import functional as F

from prunebench.data.dataset import Dataset, Part, stratified
from prunebench.data.own_loss import OwnLoss
from prunebench.errors import DataError


class MultiLabel:
    """Any number of labels: a logit per label, which is given where the logit is above 0; the mean over labels of the
    binary cross-entropy is trained.

    Counted are means over samples, so that every sample counts alike: whether all labels of a sample are right, its
    F1, and how far its labels stand before the others (see `_lrap`). Means over labels, such as mAP and macro-F1, are
    no sums over samples, and are not counted.

    Args:
        classes: how many labels there are.
        own: a loss in the place of binary cross-entropy, which is then counted too.
    """

    def __init__(self, classes: int, own: OwnLoss | None = None) -> None:
        self._own = own
        self.arguments: Mapping[str, int] = {"classes": classes}
        self.metrics: tuple[str, ...] = ("exact", "f1", "lrap", "bce" if own is None else "own_loss")

    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Mean binary cross-entropy of logits over samples and labels, both of shape (batch, classes), a scalar; or the
        mean of a loss of the user's."""
        return F.binary_cross_entropy_with_logits(output, target) if self._own is None else self._own(output, target)

    def mass(self, target: torch.Tensor) -> float:
        """For how much the loss of a batch counts in the mean of several: its samples."""
        return float(len(target))

    def count(
        self, output: torch.Tensor, target: torch.Tensor, metrics: Iterable[str] | None = None
    ) -> Mapping[str, torch.Tensor]:
        """Metric → its sum over a batch, scalars on the device; all metrics, or those that are named."""
        counted = _COUNTED if self._own is None else _COUNTED | {"own_loss": self._own.total}
        return {name: counted[name](output, target) for name in metrics or self.metrics}

    def right(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Per sample, whether all its labels are given and no other, bool of shape (batch,)."""
        return ((output > 0) == (target > 0)).all(1)

    def agrees(self, output: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """Per sample, whether the same labels are given, bool of shape (batch,)."""
        return ((output > 0) == (other > 0)).all(1)

    def divergence(self, output: torch.Tensor, other: torch.Tensor, temperature: float) -> torch.Tensor:
        """KL(sigmoid(other / T) ‖ sigmoid(output / T)) of logits, shape (batch, classes), nats, a mean over samples and
        over labels, as the binary cross-entropy is."""
        mine, theirs = output.float() / temperature, other.float() / temperature
        given, absent = theirs.sigmoid(), (-theirs).sigmoid()
        apart = given * (F.logsigmoid(theirs) - F.logsigmoid(mine)) + absent * (
            F.logsigmoid(-theirs) - F.logsigmoid(-mine)
        )
        return apart.mean()

    def answers(self, output: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Nothing: no class alone is the answer.

        Raises:
            DataError: always.
        """
        raise DataError("No class alone is what a model answers where a sample may have several labels.")

    def swings(self, output: torch.Tensor, target: torch.Tensor, share: float) -> Mapping[str, torch.Tensor]:
        """Metric → by how much it may change per sample where every logit changes by this share of the largest.

        What is given may change where a logit is no further from 0 than that, the order where a label's and another one
        are no further apart than twice that. The binary cross-entropy changes by no more than a logit does.
        """
        logits = output.float()
        reach = share * logits.abs().amax(1)
        near = (logits.abs() <= reach[:, None]).any(1).float()
        found = {"exact": near, "f1": near, "lrap": _touch(logits, target > 0, 2 * reach)}
        return found | ({"bce": reach} if self._own is None else {"own_loss": self._own.swings(output, target, share)})

    def problem(self, shape: tuple[int, ...]) -> str:
        """What is wrong with the shape of a model's output for one sample; empty where nothing is."""
        classes = self.arguments["classes"]
        return "" if shape == (1, classes) else f"{classes} labels need (1, {classes})"

    def doubt(self, output: torch.Tensor) -> str:
        """What is unlikely of the output for several samples, shape (samples, classes); empty where nothing is."""
        if self._own is None and (output >= 0).all() and (output <= 1).all():
            return (
                "its outputs are probabilities: all are between 0 and 1. The loss takes them for scores before a "
                "sigmoid, so every label is given: leave the last sigmoid out"
            )
        return ""


def _touch(logits: torch.Tensor, labels: torch.Tensor, reach: torch.Tensor) -> torch.Tensor:
    """Per sample 1.0 where the logit of a label and the next one are no further apart than so much, else 0.0."""
    ordered, places = logits.sort(dim=1)
    mine = labels.gather(1, places)
    close = ordered.diff(dim=1) <= reach[:, None]
    return (close & (mine[:, 1:] | mine[:, :-1])).any(1).float()


def _exact(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return ((output > 0) == (target > 0)).all(1).sum()


def _f1(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The F1 of each sample's labels (Godbole and Sarawagi 2004), summed up; 1 where it has none and none is given."""
    given, labels = output > 0, target > 0
    both, either = (given & labels).sum(1), given.sum(1) + labels.sum(1)
    return (2 * both / either).where(either > 0, 1.0).sum()


def _lrap(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Label ranking average precision (Schapire and Singer 2000), summed up over samples: the mean over a sample's
    labels of the share of labels among all that score as high or higher; 1 where it has none, or all."""
    labels = target > 0
    order = output.float().argsort(dim=1, descending=True, stable=True)
    scores, mine = output.float().gather(1, order), labels.gather(1, order)
    places = torch.searchsorted(-scores.contiguous(), -scores.contiguous(), right=True)  # as high or higher
    before = F.pad(mine.cumsum(1), (1, 0)).gather(1, places)
    count = labels.sum(1)
    found = (before / places * mine).sum(1) / count
    return found.where(count > 0, 1.0).sum()


def _bce(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return F.binary_cross_entropy_with_logits(output.float(), target, reduction="none").mean(1).sum()


_COUNTED = {"exact": _exact, "f1": _f1, "lrap": _lrap, "bce": _bce}


class LabelSets:
    """The labels of every part of a dataset, float32 of 0 and 1 on the CPU."""

    def __init__(self, dataset: Dataset) -> None:
        self._of = {part: torch.as_tensor(split.labels, dtype=torch.float32) for part, split in dataset.splits.items()}
        self._some: dict[tuple[Part, int], torch.Tensor] = {}

    def __getitem__(self, part: Part) -> torch.Tensor:
        """Labels of every sample, float32 of shape (samples, classes)."""
        return self._of[part]

    def some(self, part: Part, count: int | None = None) -> torch.Tensor:
        """Indices of all samples, or of a fixed subset of `count` in which each label keeps its share, as far as that
        can be."""
        labels = self._of[part]
        if count is None or count >= len(labels):
            return torch.arange(len(labels))
        if (part, count) not in self._some:
            self._some[part, count] = torch.from_numpy(stratified(labels.numpy(), count))
        return self._some[part, count]
