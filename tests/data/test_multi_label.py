"""Several labels: what is counted of logits is what scikit-learn counts, and what rounding can change is bounded."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics
from torch.nn import functional as F

from prunebench import Dataset, Split
from prunebench.data.multi_label import LabelSets, MultiLabel
from prunebench.errors import DataError

BATCHES = st.tuples(st.integers(2, 9), st.integers(1, 12), st.integers(0, 2**32 - 1))
"""Classes, samples, and a seed."""


def drawn(classes, samples, seed):
    """Logits, some of which are equal, and labels."""
    draw = torch.Generator().manual_seed(seed)
    logits = torch.randint(-3, 4, (samples, classes), generator=draw).float() + 0.25
    return logits, (torch.rand(samples, classes, generator=draw) < 0.4).float()


@given(BATCHES)
def test_what_is_counted_is_what_scikit_learn_counts(of):
    logits, labels = drawn(*of)
    found = {name: float(value) / len(labels) for name, value in MultiLabel(of[0]).count(logits, labels).items()}
    given_, truth = (logits > 0).int().numpy(), labels.int().numpy()
    assert found["exact"] == pytest.approx(metrics.accuracy_score(truth, given_))
    f1 = metrics.f1_score(truth, given_, average="samples", zero_division=1)
    assert found["f1"] == pytest.approx(f1)
    assert found["lrap"] == pytest.approx(metrics.label_ranking_average_precision_score(truth, logits.numpy()))
    assert found["bce"] == pytest.approx(F.binary_cross_entropy_with_logits(logits, labels).item(), rel=1e-5)


@given(BATCHES)
def test_right_samples_are_those_that_count_and_a_model_agrees_with_itself(of):
    logits, labels = drawn(*of)
    task = MultiLabel(of[0])
    assert int(task.right(logits, labels).sum()) == int(task.count(logits, labels, ["exact"])["exact"])
    assert task.agrees(logits, 2 * logits).all()
    assert torch.equal(task.agrees(logits, labels - 0.5), task.right(logits, labels))


@given(BATCHES, st.floats(1e-4, 0.2))
def test_rounding_changes_no_more_than_is_told(of, share):
    logits, labels = drawn(*of)
    task = MultiLabel(of[0])
    most = task.swings(logits, labels, share)
    assert most.keys() == set(task.metrics)
    draw = torch.Generator().manual_seed(0)
    reach = share * logits.abs().amax(1, keepdim=True)
    for _ in range(5):
        other = logits + reach * (2 * torch.rand(logits.shape, generator=draw) - 1)
        for name in task.metrics:
            for i, bound in enumerate(most[name].tolist()):
                one, two = (float(task.count(x[i : i + 1], labels[i : i + 1], [name])[name]) for x in (logits, other))
                assert abs(one - two) <= bound + 1e-5


def test_the_divergence_is_that_of_each_label_and_none_from_itself():
    one, other = torch.tensor([[0.0, 2.0]]), torch.tensor([[np.log(3.0), 2.0]], dtype=torch.float32)
    expected = (0.75 * np.log(0.75 / 0.5) + 0.25 * np.log(0.25 / 0.5)) / 2
    assert MultiLabel(2).divergence(one, other, 1.0).item() == pytest.approx(expected, rel=1e-5)
    assert MultiLabel(2).divergence(other, other, 4.0).item() == 0
    far = torch.tensor([[200.0, -200.0]])
    assert torch.isfinite(MultiLabel(2).divergence(far, -far, 1.0))


def test_outputs_of_the_wrong_shape_or_kind_are_noticed():
    task = MultiLabel(3)
    assert (task.problem((1, 3)), task.problem((1, 2))) == ("", "3 labels need (1, 3)")
    assert "leave the last sigmoid out" in task.doubt(torch.rand(4, 3))
    assert task.doubt(torch.randn(4, 3)) == ""
    with pytest.raises(DataError, match="No class alone"):
        task.answers(torch.zeros(1, 3))


def test_labels_are_zeros_and_ones_and_a_subset_keeps_their_shares():
    labels = np.random.default_rng(0).random((40, 3)) < 0.5
    split = Split(np.zeros((40, 4, 4), np.uint8), labels)
    targets = LabelSets(Dataset(split, split, ["a", "b", "c"]))
    assert torch.equal(targets["train"], torch.from_numpy(labels).float())
    assert targets["validation"].shape == (0, 3)
    assert targets.some("train").tolist() == targets.some("train", 99).tolist() == list(range(40))
    some = targets.some("train", 20)
    assert targets.some("train", 20) is some
    assert np.abs(labels[some].sum(0) - labels.sum(0) / 2).max() <= 1
