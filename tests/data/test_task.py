"""What every Task promises, of images and of text alike."""

import pytest
import torch

from prunebench.config import RunConfig
from prunebench.experiment.data import make_task
from prunebench.experiment.resolve import resolve

CPU = torch.device("cpu")
PARTS = ["train", "test", "validation"]


@pytest.fixture(scope="module", params=["resnet18", "bert"])
def task(request):
    return make_task(resolve(RunConfig(model=request.param, limit_train=50, limit_test=20, validation=0.3)))


@pytest.mark.parametrize("part", PARTS)
def test_batches_hold_the_samples_that_are_asked_for_in_their_order(task, part):
    labels = task.targets[part]
    chunks = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0)).split(7)
    for (_, found), chunk in zip(task.batches(part, chunks, CPU), chunks, strict=True):
        assert torch.equal(found, labels[chunk])


def test_a_batch_looks_like_the_example(task):
    inputs, labels = next(task.batches("train", [torch.arange(4)], CPU))
    batch, example = ({"": x} if isinstance(x, torch.Tensor) else x for x in (inputs, task.inputs.example(4)))
    assert batch.keys() == example.keys()
    for name, tensor in batch.items():
        assert tensor.dtype == example[name].dtype
        assert tensor.ndim == example[name].ndim
        assert len(tensor) == len(labels) == 4
    assert labels.dtype == torch.int64


def test_labels_are_those_of_the_classes(task):
    for part in PARTS:
        assert set(task.targets[part].tolist()) == set(range(task.classes))


def test_data_is_held_out_of_the_training_data_and_otherwise_there_is_none(task):
    assert [len(task.targets[part]) for part in PARTS] == [35, 20, 15]
    model = "bert" if task.inputs.kind == "text" else "resnet18"
    whole = make_task(resolve(RunConfig(model=model, limit_train=50, limit_test=20)))
    assert [len(whole.targets[part]) for part in PARTS] == [50, 20, 0]
    assert whole.targets["validation"].dtype == torch.int64
    assert list(whole.batches("validation", [], CPU)) == []


def test_some_samples_are_a_fixed_subset_in_ascending_order_and_without_a_count_they_are_all(task):
    for part in PARTS:
        count = len(task.targets[part])
        assert task.targets.some(part).tolist() == list(range(count))
        some = task.targets.some(part, count // 2)
        assert some.dtype == torch.int64
        assert some.tolist() == sorted(set(some.tolist()))
        assert len(some) == count // 2
        assert torch.equal(some, task.targets.some(part, count // 2))


def test_what_is_asked_of_a_model_fits_the_batches(task):
    _, labels = next(task.batches("train", [torch.arange(4)], CPU))
    assert task.objective.arguments == {"classes": task.classes}
    assert task.objective.problem((1, task.classes)) == ""
    logits = torch.zeros(4, task.classes, requires_grad=True)
    task.objective.loss(logits, labels).backward()
    assert logits.grad is not None
    assert task.objective.count(logits, labels).keys() == set(task.objective.metrics)
