"""Classification: what is counted of logits is what a plain computation counts."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional as F

from prunebench import Dataset, Split
from prunebench.data.classification import Classification, Labels, balanced
from prunebench.data.multi_label import MultiLabel
from prunebench.data.own_loss import OwnLoss
from prunebench.records import METRICS

BATCHES = st.tuples(st.integers(2, 30), st.integers(1, 20), st.integers(0, 2**32 - 1))
"""Classes, samples, and a seed."""


def drawn(classes, samples, seed):
    """Logits no two of which are equal in a sample, and labels."""
    draw = torch.Generator().manual_seed(seed)
    logits = torch.rand(samples, classes, generator=draw).argsort(dim=1).float() / 4
    return logits, torch.randint(0, classes, (samples,), generator=draw)


@pytest.mark.parametrize("classes", [2, 10, 11, 1000])
def test_the_first_five_are_counted_where_there_are_more_than_ten_classes(classes):
    found = Classification(classes)
    assert found.metrics == (("top1", "top5", "loss") if classes > 10 else ("top1", "loss"))
    assert found.arguments == {"classes": classes}
    assert found.count(*drawn(classes, 3, 0)).keys() == set(found.metrics)


@pytest.mark.parametrize(
    ("last", "told"), [("softmax", True), ("log_softmax", False), ("relu", False), ("sigmoid", False)]
)
def test_outputs_that_are_probabilities_are_doubted(last, told):
    logits, _ = drawn(5, 4, 0)
    arguments = {"dim": 1} if "softmax" in last else {}
    doubt = Classification(5).doubt(getattr(torch, last)(logits, **arguments))
    assert doubt.startswith("its outputs are probabilities: ") == told
    assert bool(doubt) == told


def test_every_metric_of_the_table_is_counted_by_a_task():
    mean = OwnLoss(F.cross_entropy)
    tasks = Classification(1000), Classification(1000, own=mean), MultiLabel(3)
    assert {name for task in tasks for name in task.metrics} == set(METRICS)


@given(BATCHES)
def test_what_is_counted_is_what_a_plain_computation_counts(of):
    classes, samples, seed = of
    logits, labels = drawn(classes, samples, seed)
    found = Classification(classes).count(logits, labels)
    ranks = [
        sum(other > row[label] for other in row) for row, label in zip(logits.tolist(), labels.tolist(), strict=True)
    ]
    assert int(found["top1"]) == sum(rank == 0 for rank in ranks)
    if classes > 10:
        assert int(found["top5"]) == sum(rank < 5 for rank in ranks)
    shares = np.exp(logits.double().numpy())
    shares /= shares.sum(1, keepdims=True)
    expected = -np.log(shares[np.arange(samples), labels.numpy()]).sum()
    assert float(found["loss"]) == pytest.approx(expected, rel=1e-5)


@given(BATCHES, st.integers(1, 19))
def test_what_is_counted_of_two_batches_is_the_sum(of, first):
    task, (logits, labels) = Classification(of[0]), drawn(*of)
    whole = task.count(logits, labels)
    parts = [part for part in (slice(first), slice(first, None)) if len(labels[part])]
    for metric in task.metrics:
        counted = [task.count(logits[part], labels[part], (metric,)) for part in parts]
        assert all(found.keys() == {metric} for found in counted)
        assert float(sum(found[metric] for found in counted)) == pytest.approx(float(whole[metric]), rel=1e-5)


@given(BATCHES)
def test_the_loss_is_the_cross_entropy_and_what_is_counted_of_it_is_its_sum(of):
    task, (logits, labels) = Classification(of[0]), drawn(*of)
    loss = task.loss(logits, labels)
    assert torch.equal(loss, F.cross_entropy(logits, labels))
    assert float(task.count(logits, labels)["loss"]) == pytest.approx(float(loss) * len(labels), rel=1e-5)


def test_the_loss_leads_down():
    logits, labels = drawn(4, 8, 0)
    logits.requires_grad_()
    before = Classification(4).loss(logits, labels)
    before.backward()
    with torch.no_grad():
        assert Classification(4).loss(logits - logits.grad, labels) < before


def test_a_loss_of_half_precision_is_counted_in_full():
    logits = torch.tensor([[1.0, 0.0, 0.0]]).repeat(400, 1).bfloat16()
    labels = torch.zeros(400, dtype=torch.int64)
    counted = Classification(3).count(logits, labels)["loss"]
    assert counted.dtype == torch.float32
    assert float(counted) == pytest.approx(float(F.cross_entropy(logits.float(), labels)) * 400, rel=1e-5)


@pytest.mark.parametrize("shape", [(), (1,), (3,), (1, 2), (1, 4), (2, 3), (1, 3, 1), (1, 1, 3)])
def test_an_output_of_another_shape_is_a_problem_that_says_what_is_needed(shape):
    assert Classification(3).problem(shape) == "3 classes need (1, 3)"
    assert Classification(3).problem((1, 3)) == ""


def test_labels_are_those_of_each_part_and_some_keep_the_shares_of_the_classes():
    images = np.zeros((30, 4, 4), np.uint8)
    of = {"train": np.repeat([0, 1], [20, 10]), "test": np.array([1, 0, 1])}
    labels = Labels(Dataset(Split(images, of["train"]), Split(images[:3], of["test"]), ["a", "b"]))
    for part, expected in of.items():
        assert labels[part].dtype == torch.int64
        assert labels[part].tolist() == expected.tolist()
        assert labels.some(part).tolist() == list(range(len(expected)))
    some = labels.some("train", 9)
    assert torch.equal(some, labels.some("train", 9))
    assert some.tolist() == sorted(set(some.tolist()))
    assert labels["train"][some].bincount().tolist() == [6, 3]
    assert labels.some("train", 99).tolist() == list(range(30))


def test_balanced_weights_are_samples_over_classes_times_those_of_the_class():
    labels = torch.tensor([0] * 6 + [1] * 3 + [2])
    assert balanced(labels, 3).tolist() == pytest.approx([10 / 18, 10 / 9, 10 / 3])
    assert balanced(labels, 5).tolist() == pytest.approx([10 / 18, 10 / 9, 10 / 3, 0, 0])  # two have no sample
    assert balanced(torch.tensor([1, 0, 1, 0]), 2).tolist() == [1, 1]


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40))
def test_balanced_weights_are_those_of_scikit_learn_and_have_all_classes_count_alike(labels):
    present = np.unique(labels)
    weights = balanced(torch.tensor(labels), 6)
    assert weights[present].tolist() == pytest.approx(compute_class_weight("balanced", classes=present, y=labels))
    counted = torch.tensor(labels).bincount(minlength=6) * weights
    assert counted[present].tolist() == pytest.approx([len(labels) / len(present)] * len(present))
    assert counted.sum() == pytest.approx(len(labels))


def test_a_weighted_loss_is_the_weighted_mean_and_what_is_counted_has_no_weights():
    logits = torch.log(torch.tensor([[0.8, 0.2], [0.6, 0.4], [0.5, 0.5]]))
    labels = torch.tensor([0, 0, 1])
    weighted, plain = Classification(2, torch.tensor([0.75, 1.5])), Classification(2)
    losses = [-math.log(0.8), -math.log(0.6), -math.log(0.5)]
    assert float(plain.loss(logits, labels)) == pytest.approx(sum(losses) / 3)
    by_hand = (0.75 * losses[0] + 0.75 * losses[1] + 1.5 * losses[2]) / 3
    assert float(weighted.loss(logits, labels)) == pytest.approx(by_hand)
    assert weighted.count(logits, labels) == plain.count(logits, labels)
    assert float(weighted.count(logits, labels)["loss"]) == pytest.approx(sum(losses))


def test_a_batch_of_one_class_has_its_plain_loss_and_a_class_without_a_sample_changes_nothing():
    logits, labels = torch.tensor([[1.0, 2.0, 0.5], [0.0, 1.0, 0.5]]), torch.tensor([1, 1])
    for weights in ([0.2, 3.0, 0.7], [1.0, 2.0, 0.0]):
        assert float(Classification(3, torch.tensor(weights)).loss(logits, labels)) == pytest.approx(
            float(Classification(3).loss(logits, labels))
        )


def test_the_weighted_loss_of_half_precision_is_near_that_of_full():
    logits, labels = drawn(4, 20, 0)
    task = Classification(4, balanced(labels, 4))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert float(task.loss(logits.bfloat16(), labels)) == pytest.approx(float(task.loss(logits, labels)), rel=1e-2)


def by_sample(task, logits, labels):
    """Metric → its figure per sample."""
    rows = [task.count(logits[i : i + 1], labels[i : i + 1]) for i in range(len(labels))]
    return {metric: torch.stack([row[metric].float() for row in rows]) for metric in task.metrics}


@given(BATCHES, st.sampled_from([1e-4, 0.01, 0.2]))
def test_no_figure_of_a_sample_changes_by_more_than_it_may_where_logits_change_by_a_share(of, share):
    task, (logits, labels) = Classification(of[0]), drawn(*of)
    draw = torch.Generator().manual_seed(of[2] % 1000)
    sign = torch.randint(0, 2, logits.shape, generator=draw) * 2 - 1  # as far as it may
    other = logits + sign * share * logits.abs().amax(1, keepdim=True)
    before, after, most = (*(by_sample(task, of, labels) for of in (logits, other)), task.swings(logits, labels, share))
    assert most.keys() == set(task.metrics)
    for metric in task.metrics:
        assert ((after[metric] - before[metric]).abs() <= most[metric] + 1e-4).all()
    assert torch.equal(before["top1"].bool(), task.right(logits, labels))


def test_answers_may_change_where_the_logit_that_decides_is_near_and_not_elsewhere():
    logits = torch.tensor([[4.0, 3.9, 0.0], [3.9, 4.0, 0.0], [4.0, 0.0, 3.9], [0.0, 0.0, 0.0]])
    labels = torch.tensor([0, 0, 1, 2])
    task = Classification(3)
    assert task.swings(logits, labels, 0.02)["top1"].tolist() == [1, 1, 0, 1]
    assert task.swings(logits, labels, 0.01)["top1"].tolist() == [0, 0, 0, 1]
    assert task.swings(logits, labels, 0.01)["loss"].tolist() == pytest.approx([0.08, 0.08, 0.08, 0])


def test_an_answer_is_the_largest_logit_and_its_softmax():
    logits = torch.tensor([[0.0, 2.0, 1.0], [3.0, 3.0, -1.0]], dtype=torch.bfloat16)
    answer, confidence = Classification(3).answers(logits)
    assert answer.tolist() == [1, 0]
    assert confidence.dtype == torch.float32
    assert torch.equal(confidence, logits.float().softmax(1).amax(1))
