"""A loss of the user's is a mean over samples, in whichever form it comes."""

from __future__ import annotations

import re
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from prunebench.data.classification import Classification
from prunebench.data.own_loss import OwnLoss
from prunebench.errors import DataError

LABELS = torch.tensor([0, 1, 2, 0, 2])
SETS = torch.tensor([[1.0, 0, 1], [0, 0, 0], [0, 1, 0], [1, 1, 1], [0, 0, 1]])
WEIGHTS = torch.tensor([1.0, 2.0, 4.0])


def logits(samples=5):
    return torch.randn(samples, 3, generator=torch.Generator().manual_seed(1))


def of_samples(output, target):
    return F.cross_entropy(output, target, reduction="none")


FORMS = {
    "a mean": lambda output, target: of_samples(output, target).mean(),
    "samples": of_samples,
    "reduced": F.cross_entropy,
    "module": nn.CrossEntropyLoss(),
    "partial": partial(F.cross_entropy, label_smoothing=0.0),
    "built in": nn.CrossEntropyLoss(reduction="none"),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_the_mean_over_samples(form):
    own = OwnLoss(FORMS[form])
    own.check(LABELS, 3)
    assert own(logits(), LABELS).item() == pytest.approx(F.cross_entropy(logits(), LABELS).item())
    assert own.total(logits(), LABELS).item() == pytest.approx(
        F.cross_entropy(logits(), LABELS, reduction="sum").item()
    )


def test_weights_of_classes_weigh_samples_and_not_batches():
    own = OwnLoss(partial(F.cross_entropy, weight=WEIGHTS))
    own.check(LABELS, 3)
    each = WEIGHTS[LABELS] * of_samples(logits(), LABELS)
    assert own(logits(), LABELS).item() == pytest.approx(each.mean().item())


def test_losses_of_several_labels_are_means_over_them_too():
    own = OwnLoss(partial(F.binary_cross_entropy_with_logits, pos_weight=WEIGHTS))
    own.check(SETS, 3)
    expected = F.binary_cross_entropy_with_logits(logits(), SETS, pos_weight=WEIGHTS)
    assert own(logits(), SETS).item() == pytest.approx(expected.item())


def test_logits_come_in_full_precision():
    seen = []
    own = OwnLoss(lambda output, target: seen.append(output.dtype) or output.sum(1))
    assert own(logits().bfloat16(), LABELS).dtype == torch.float32
    assert seen == [torch.float32]


class Learns(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))


REFUSED = {
    "returned float: return a tensor of floats": lambda output, target: 0.5,
    "returned torch.int64": lambda output, target: target,
    "returned a tensor of shape 3×5 for 5 samples": lambda output, target: output.T,
    "failed: RuntimeError: no (": lambda output, target: (_ for _ in ()).throw(RuntimeError("no")),
    "has no gradient": lambda output, target: output.detach().sum(1),
    "is nan for logits between": lambda output, target: output.log().sum(1),
    'reduction="none"': nn.CrossEntropyLoss(weight=WEIGHTS),
    "so it would depend on batches": lambda output, target: of_samples(output, target).sum(),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_be_trained_is_refused_in_a_line(message):
    with pytest.raises(DataError, match=re.escape(message)) as told:
        OwnLoss(REFUSED[message]).check(LABELS, 3)
    assert "\n" not in str(told.value)
    assert str(told.value).startswith("The loss <")


def test_a_loss_with_parameters_is_refused():
    with pytest.raises(DataError, match="The loss <Learns> has parameters, which are not trained"):
        OwnLoss(Learns())


def test_it_is_what_is_trained_and_counted():
    task = Classification(3, own=OwnLoss(partial(F.cross_entropy, label_smoothing=0.3)))
    expected = F.cross_entropy(logits(), LABELS, label_smoothing=0.3, reduction="sum").item()
    assert task.metrics == ("top1", "own_loss")
    assert task.loss(logits(), LABELS).item() == pytest.approx(expected / 5)
    assert task.count(logits(), LABELS)["own_loss"].item() == pytest.approx(expected)
    assert task.mass(LABELS) == 5
    assert task.doubt(logits().softmax(1)) == ""


@pytest.mark.parametrize("share", [1e-4, 5e-3])
def test_rounding_changes_it_by_no_more_than_its_slope_says(share):
    task = Classification(3, own=OwnLoss(lambda output, target: of_samples(output, target) ** 2))
    with torch.inference_mode():
        most = task.swings(logits(), LABELS, share)["own_loss"]
    draw = torch.Generator().manual_seed(2)
    reach = share * logits().abs().amax(1, keepdim=True)
    for _ in range(20):
        other = logits() + reach * (2 * torch.rand(5, 3, generator=draw) - 1)
        changed = (of_samples(other, LABELS) ** 2 - of_samples(logits(), LABELS) ** 2).abs()
        assert (changed <= most).all()
