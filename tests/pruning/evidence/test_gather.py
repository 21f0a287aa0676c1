"""Gradients of calibration samples are those of their mean loss, and the model stays as it is."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from prunebench.data.classification import Classification, balanced
from prunebench.data.own_loss import OwnLoss
from prunebench.errors import ConfigError
from prunebench.pruning.evidence import GRAM, gather
from prunebench.pruning.registry import Request, criteria, needs

SAMPLES = 40


def ask(gradient, squared_gradient):
    return gradient


def evidence(model, task, inputs, criterion=ask, samples=SAMPLES):
    return gather.evidence_for(model, Request(0.1, criterion, inputs, task=task, calibration=samples))


def by_hand(model, task, weights=None):
    """Per sample the gradient of its share in the mean loss, times the number of samples."""
    chosen = task.targets.some("train", SAMPLES)
    inputs, labels = next(task.batches("train", [chosen], torch.device("cpu")))
    model.eval()
    counts = torch.ones(SAMPLES) if weights is None else weights[labels]
    losses = F.cross_entropy(model(inputs), labels, reduction="none") * counts * SAMPLES / counts.sum()
    each = [torch.autograd.grad(loss, list(model.parameters()), retain_graph=True) for loss in losses]
    names = [name for name, _ in model.named_parameters()]
    return {name: torch.stack([gradients[i] for gradients in each]) for i, name in enumerate(names)}


@pytest.mark.parametrize("weighted", [False, True])
def test_both_are_means_over_the_samples_as_training_weighs_them(weighted, tiny_net, tiny_task, images12, monkeypatch):
    torch.manual_seed(0)
    model = tiny_net(3)
    weights = balanced(torch.tensor([0, 0, 0, 1, 1, 2]), 3) if weighted else None
    monkeypatch.setattr(tiny_task, "objective", Classification(3, weights))
    found = evidence(model, tiny_task, images12)
    for name, each in by_hand(model, tiny_task, weights).items():
        for kind, told in (("gradient", each.mean(0)), ("squared_gradient", each.square().mean(0))):
            assert (found[kind][name] - told).abs().max() <= 1e-5 * told.abs().max() + 1e-9


def test_gradients_are_those_of_a_loss_of_the_users(tiny_net, tiny_task, images12, monkeypatch):
    torch.manual_seed(0)
    model, squared = tiny_net(3), lambda output, labels: F.cross_entropy(output, labels, reduction="none") ** 2
    monkeypatch.setattr(tiny_task, "objective", Classification(3, own=OwnLoss(squared)))
    found = evidence(model, tiny_task, images12)
    inputs, labels = next(tiny_task.batches("train", [tiny_task.targets.some("train", SAMPLES)], torch.device("cpu")))
    losses, parameters = squared(model.eval()(inputs), labels), dict(model.named_parameters())
    each = [torch.autograd.grad(loss, list(parameters.values()), retain_graph=True) for loss in losses]
    for i, name in enumerate(parameters):
        mine = torch.stack([gradients[i] for gradients in each])
        for kind, told in (("gradient", mine.mean(0)), ("squared_gradient", mine.square().mean(0))):
            assert (found[kind][name] - told).abs().max() <= 1e-5 * told.abs().max() + 1e-9


RANKINGS = [ranking for each in map(criteria.get, criteria.names()) for ranking in (each.score, each.unit) if ranking]


@pytest.fixture
def looking(tiny_task, tiny_finetuning):
    """What criteria look at."""
    return {"task": tiny_task, "finetune": tiny_finetuning, "calibration": SAMPLES}


@pytest.mark.parametrize(
    "ranking", [each for each in RANKINGS if {*needs(each)} - {GRAM}], ids=lambda ranking: ranking.__name__
)
def test_how_many_samples_pass_at_once_changes_nothing_to_a_hundred_thousandth(
    ranking, tiny_net, looking, images12, monkeypatch
):
    torch.manual_seed(0)
    model, found = tiny_net(3), []
    for batch in (gather.BATCH, 7):
        monkeypatch.setattr(gather, "BATCH", batch)
        found.append(gather.evidence_for(model, Request(0.1, ranking, images12, **looking)))
    for kind in needs(ranking):
        usual, other = (each[kind] for each in found)
        assert usual
        assert all((usual[name] - other[name]).abs().max() <= 1e-5 * usual[name].abs().max() for name in usual)


def test_nor_does_it_change_what_weights_read_together(tiny_net, looking, images12, monkeypatch):
    torch.manual_seed(0)
    model, found = tiny_net(3), []
    for batch in (gather.BATCH, 7):
        monkeypatch.setattr(gather, "BATCH", batch)
        found.append(gather.gram_for(model, Request(0.1, None, images12, **looking), "features.4.weight"))
    (usual,), (other,) = (each.parts for each in found)
    assert (usual.gram - other.gram).abs().max() <= 1e-5 * usual.gram.abs().max()


def test_the_model_stays_as_it_is_and_frozen_parameters_have_a_gradient_too(tiny_net, tiny_task, images12):
    model = tiny_net(3).train()
    model.features.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    found = evidence(model, tiny_task, images12)
    assert found["gradient"]["features.0.weight"].abs().sum() > 0
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(module.training for module in model.modules())
    assert [p.requires_grad for p in model.features.parameters()] == [False] * 8
    assert all(parameter.grad is None for parameter in model.parameters())


def test_what_no_criterion_asks_for_is_not_gathered(tiny_net, images12):
    assert evidence(tiny_net(3), None, images12, lambda weight: weight) == {}


def test_without_data_and_with_a_loss_that_overflows_it_is_said_so(tiny_net, tiny_task, images12):
    with pytest.raises(ConfigError, match="asks for gradient and squared_gradient, which takes training data"):
        evidence(tiny_net(3), None, images12)
    model = tiny_net(3)
    nn.init.constant_(model.get_parameter("classifier.3.bias"), torch.inf)
    with pytest.raises(ConfigError, match="is not finite"):
        evidence(model, tiny_task, images12)
