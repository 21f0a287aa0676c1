"""Masked weights stay at zero, whatever trains the others, and the others do not notice how."""

import math
from functools import partial

import pytest
import torch
from torch import nn

from prunebench.training.masking import Masking
from prunebench.training.scaling import Scaling

DEVICES = [
    "cpu",
    *(["cuda"] if torch.cuda.is_available() else []),
    *(["mps"] if torch.backends.mps.is_available() else []),
]
KERNELS = {"fused": {"fused": True}, "foreach": {"foreach": True}, "single": {"foreach": False}, "usual": {}}
KINDS = {
    "sgd": partial(torch.optim.SGD, lr=0.1, momentum=0.9, weight_decay=0.01),
    "adam": partial(torch.optim.Adam, lr=0.1, weight_decay=0.01),
    "adamw": partial(torch.optim.AdamW, lr=0.1, weight_decay=0.01),
}
OPTIMIZERS = [
    (device, kind, kernel, scaled)
    for device in DEVICES
    for kind in KINDS
    for kernel in KERNELS
    for scaled in (False, True)
    if not (kind == "sgd" and kernel == "fused" and scaled)  # which is not used: see make_optimizer
]
"""Every kernel that PyTorch has of every optimizer, on every device that is there, without and with loss scaling."""


def trained(device, kind, kernel, scaled, *, always, steps=5):
    """A small model after some steps, the first and the third of which overflow where the loss is scaled, and the mask
    of its first weight."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 3)).to(device)
    mask = (torch.rand(8, 12) < 0.5).to(device)
    with torch.no_grad():
        model[0].weight.mul_(mask)
    optimizer = KINDS[kind](model.parameters(), **KERNELS[kernel])
    masking = Masking(model, {"0.weight": mask}, optimizer, always=always)
    scaling = Scaling(torch.device(device), {}, enabled=scaled)
    for step in range(steps):
        optimizer.zero_grad(set_to_none=True)
        loss = model(torch.randn(16, 12).to(device)).square().mean()
        scaling.scaled(loss * math.inf if scaled and step in (0, 2) else loss).backward()
        masking.before_step()
        scaling.step(optimizer)
    return model, mask


@pytest.mark.parametrize("always", [False, True])
@pytest.mark.parametrize(("device", "kind", "kernel", "scaled"), OPTIMIZERS)
def test_masked_weights_are_zero_and_others_move(device, kind, kernel, scaled, always):
    model, mask = trained(device, kind, kernel, scaled, always=always)
    assert torch.count_nonzero(model[0].weight[~mask]) == 0
    assert torch.count_nonzero(model[0].weight[mask]) == mask.sum()


@pytest.mark.parametrize(("device", "kind", "kernel", "scaled"), OPTIMIZERS)
def test_the_optimizers_state_holds_what_masked_gradients_hold_bit_by_bit(device, kind, kernel, scaled):
    held, _ = trained(device, kind, kernel, scaled, always=False)
    masked, _ = trained(device, kind, kernel, scaled, always=True)
    for one, other in zip(held.parameters(), masked.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_parameter_is_held_from_its_first_gradient_on():
    model = nn.ModuleDict({"used": nn.Linear(2, 2), "later": nn.Linear(2, 2)})
    masks = {f"{name}.weight": torch.tensor([[True, False], [False, True]]) for name in model}
    with torch.no_grad():
        for name, mask in masks.items():
            model.get_parameter(name).mul_(mask)
    optimizer = torch.optim.AdamW(model.parameters(), 0.1)
    masking = Masking(model, masks, optimizer, always=False)
    for names in (["used"], ["used"], ["used", "later"], ["used", "later"]):
        optimizer.zero_grad(set_to_none=True)
        sum(model[name](torch.randn(4, 2)).square().mean() for name in names).backward()
        masking.before_step()
        optimizer.step()
    for name, mask in masks.items():
        assert torch.count_nonzero(model.get_parameter(name)[~mask]) == 0


def test_the_first_step_leaves_the_state_that_masking_gradients_leaves_but_for_the_infinite_moment():
    states = []
    for always in (False, True):
        torch.manual_seed(0)
        weight = nn.Parameter(torch.randn(3, 2, 4, 4).to(memory_format=torch.channels_last))
        model, mask = nn.ParameterDict({"weight": weight}), torch.rand(3, 2, 4, 4) < 0.5
        optimizer = torch.optim.AdamW([weight], 0.1, fused=True)
        masking = Masking(model, {"weight": mask}, optimizer, always=always)
        weight.grad = torch.randn_like(weight)
        masking.before_step()
        optimizer.step()
        states.append(optimizer.state[weight])
    held, masked = states
    assert held.keys() == masked.keys()
    assert all(held[name].dtype == masked[name].dtype for name in held)
    assert held["exp_avg_sq"].stride() == masked["exp_avg_sq"].stride()
    assert held["step"] == masked["step"] == 1
    assert torch.equal(held["exp_avg"], masked["exp_avg"])
    assert torch.equal(held["exp_avg_sq"], masked["exp_avg_sq"].masked_fill(~mask, torch.inf))


def test_a_continued_optimizer_holds_them_whatever_its_state_was():
    model, mask = nn.Linear(2, 2, bias=False), torch.tensor([[True, False], [False, True]])
    optimizer = torch.optim.AdamW(model.parameters(), 0.1)
    model.weight.grad = torch.ones(2, 2)
    optimizer.step()
    Masking(model, {"weight": mask}, optimizer, always=False)
    assert torch.equal(optimizer.state[model.weight]["exp_avg_sq"].isinf(), ~mask)


def test_frozen_weights_need_no_mask():
    model = nn.Linear(2, 2)
    model.weight.requires_grad_(False)
    optimizer = torch.optim.AdamW([model.bias], 0.1)
    masking = Masking(model, {"weight": torch.ones(2, 2, dtype=torch.bool)}, optimizer, always=False)
    model(torch.randn(4, 2)).sum().backward()
    masking.before_step()
    optimizer.step()
    assert model.weight.grad is None
