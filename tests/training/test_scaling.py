"""Loss scaling: gradients are those of the loss, what overflows is skipped and told, and it goes on where it stood."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from prunebench.models.architecture import Architecture
from prunebench.models.checkpoint import Checkpoint
from prunebench.models.input_spec import InputSpec
from prunebench.training.masking import Masking
from prunebench.training.optimizers import Recipe, make_optimizer
from prunebench.training.scaling import USUAL, Scaling
from prunebench.training.state import StepState

CPU = torch.device("cpu")


@pytest.fixture
def state():
    """A step without remarks."""
    model = nn.Linear(2, 2)
    return StepState(1, Checkpoint(Architecture("tiny", {}, InputSpec(kind="images", size=2)), model, {}))


def stepped(optimizer, losses, clip=0.0, begun=None, moved=None):
    """The weight after a step for each factor of a loss, and the scaling; half of it is masked."""
    torch.manual_seed(0)
    model = nn.Linear(6, 4, bias=False)
    mask = torch.arange(24).view(4, 6) % 2 == 0
    with torch.no_grad():
        model.weight.mul_(mask)
    optimizer = make_optimizer(model, Recipe(1, 4, optimizer, 0.1, "constant", weight_decay=0.01, dtype="fp16"))
    masking = Masking(model, {"weight": mask}, optimizer, always=clip > 0)
    scaling = Scaling(CPU, begun or {}, enabled=moved is None)
    for factor in losses:
        optimizer.zero_grad()
        scaling.scaled(factor * model(torch.ones(3, 6)).square().mean()).backward()
        masking.before_step()
        if clip:
            scaling.unscale(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        scaling.step(optimizer)
    return model.weight.detach(), scaling, mask


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("clip", [0.0, 0.01])
def test_steps_are_those_without_scaling_and_masks_hold(optimizer, clip):
    scaled, _, mask = stepped(optimizer, [1.0] * 4, clip)
    plain, _, _ = stepped(optimizer, [1.0] * 4, clip, moved=False)
    assert torch.allclose(scaled, plain, rtol=1e-5)
    assert not scaled[~mask].any()
    assert scaled[mask].all()


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("clip", [0.0, 0.01])
@pytest.mark.parametrize("at", [0, 2])
def test_a_step_that_overflows_changes_nothing_and_is_counted(optimizer, clip, at):
    losses = [1.0] * 4
    skipped, scaling, mask = stepped(optimizer, [*losses[:at], float("inf"), *losses[at:]], clip)
    plain, _, _ = stepped(optimizer, losses, clip)
    assert torch.allclose(skipped, plain, rtol=1e-5)
    assert not skipped[~mask].any()
    assert scaling.told() == {"scale": 2.0**15, "growth": 4.0 - at, "steps": 5.0, "skipped": 1.0}


def test_it_goes_on_where_it_stood():
    _, whole, _ = stepped("sgd", [1.0, float("inf"), 1.0, float("nan"), 1.0])
    _, first, _ = stepped("sgd", [1.0, float("inf"), 1.0])
    _, second, _ = stepped("sgd", [float("nan"), 1.0], begun=first.told())
    assert second.told() == whole.told()


def test_many_skipped_steps_are_told_and_those_of_a_beginning_are_not(state):
    _, few, _ = stepped("sgd", [float("inf")] * USUAL + [1.0] * 20)
    assert few.noted(state).notes == ()
    _, many, _ = stepped("sgd", [float("inf")] * 12)
    assert many.noted(state).notes[0].startswith("12 of 12 steps of training were skipped")


def test_without_it_nothing_is_kept(state):
    _, off, _ = stepped("sgd", [1.0], moved=False)
    assert off.told() == {}
    assert off.noted(state) is state
