"""Movement is what a fine-tuning shows that is watched on a copy."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from prunebench.errors import ConfigError
from prunebench.pruning.evidence.gather import evidence_for
from prunebench.pruning.evidence.movement import movement
from prunebench.pruning.registry import Request


def test_it_is_minus_the_sum_of_weights_by_gradients_and_the_model_stays(tiny_task, tiny_finetuning):
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)]
    model = nn.Sequential(*layers).eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    found = movement(model, tiny_finetuning)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    by_hand = {name: torch.zeros_like(parameter) for name, parameter in model.named_parameters()}
    for chunk in tiny_task.targets.some("train", 40).split(10):
        images, labels = next(tiny_task.batches("train", [chunk], torch.device("cpu")))
        gradients = torch.autograd.grad(tiny_task.objective.loss(model(images), labels), list(model.parameters()))
        with torch.no_grad():
            for (name, parameter), gradient in zip(model.named_parameters(), gradients, strict=True):
                by_hand[name] -= parameter * gradient
                parameter.sub_(0.01 * gradient)
    assert found.keys() == by_hand.keys()
    assert all(torch.allclose(found[name], total, rtol=1e-5, atol=1e-8) for name, total in by_hand.items())


def test_a_weight_that_grows_has_moved_away_from_zero_and_one_that_shrinks_towards_it():
    model = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, -1.0]]))

    def finetune(learner):
        for _ in range(3):
            learner.weight.grad = None
            (learner.weight.sum() * -1).backward()
            with torch.no_grad():
                learner.weight -= 0.1 * learner.weight.grad

    away, towards = movement(model, finetune)["weight"][0].tolist()
    assert away == pytest.approx(1 + 1.1 + 1.2)
    assert towards == pytest.approx(-1 - 0.9 - 0.8)


def test_what_is_not_trained_and_where_nothing_is_fine_tuned_is_said(tiny_net, tiny_task, tiny_finetuning, images12):
    model = tiny_net(3)
    model.features[0].weight.requires_grad_(False)
    request = Request(0.1, lambda movement: movement, images12, evidence={"movement": movement(model, tiny_finetuning)})
    draw = torch.Generator()
    assert request.score(model, "features.4.weight", draw).abs().sum() > 0
    with pytest.raises(ConfigError, match=r"features\.0\.weight is not trained, so it does not move: --exclude 'feat"):
        request.score(model, "features.0.weight", draw)
    with pytest.raises(ConfigError, match="here is no fine-tuning to watch"):
        evidence_for(model, Request(0.1, lambda movement: movement, images12, task=tiny_task))
