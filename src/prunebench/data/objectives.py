"""What is asked of a model by a dataset: one label, or several; by cross-entropy, or by a loss of the user's."""

from __future__ import annotations

import torch

from prunebench.data.classification import Classification, Labels
from prunebench.data.dataset import Dataset
from prunebench.data.multi_label import LabelSets, MultiLabel
from prunebench.data.own_loss import OwnLoss
from prunebench.data.task import Objective, Targets

TRIED = 64
"""Training samples with whose labels a loss of the user's is tried."""


def asked_of(dataset: Dataset, class_weights: torch.Tensor | None = None) -> tuple[Objective, Targets]:
    """What is asked of a model's output, and what it should answer.

    Args:
        dataset: as it is used.
        class_weights: of each class in the cross-entropy.

    Raises:
        DataError: a loss of the user's cannot be trained, or is no mean over samples.
    """
    classes, own = len(dataset.classes), None if dataset.loss is None else OwnLoss(dataset.loss)
    targets: Targets = LabelSets(dataset) if dataset.is_multi_label else Labels(dataset)
    if own is not None:
        own.check(targets["train"][targets.some("train", TRIED)], classes)
    if dataset.is_multi_label:
        return MultiLabel(classes, own), targets
    return Classification(classes, class_weights, own), targets
