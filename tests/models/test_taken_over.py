"""Masks of torch.nn.utils.prune become the model's own, and the model answers as before."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from prunebench.models.taken_over import copied, cut_off, take_masks, told


def masked_net():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.Flatten(), nn.Linear(5 * 16, 3))
    prune.l1_unstructured(model[0], "weight", 0.5)
    prune.random_unstructured(model[2], "weight", 40)
    prune.ln_structured(model[2], "weight", 1, n=2, dim=0)  # a container of two
    prune.l1_unstructured(model[2], "bias", 2)
    prune.identity(model[4], "weight")
    return model


def test_masks_are_told_by_name_and_the_module_is_plain():
    model, images = masked_net(), torch.randn(2, 3, 8, 8)
    before, gone = model(images), {name: mask == 0 for name, mask in model.named_buffers()}
    masks = take_masks(model)
    assert set(masks) == {"0.weight", "2.weight", "2.bias"}
    assert all(torch.equal(~mask, gone[f"{name}_mask"]) for name, mask in masks.items())
    assert torch.equal(model(images), before)
    assert {name for name, _ in model.named_parameters()} == {
        f"{i}.{own}" for i in (0, 2, 4) for own in ("weight", "bias")
    }
    assert not list(model.named_buffers())
    assert all(model.get_parameter(name)[~mask].eq(0).all() for name, mask in masks.items())
    assert take_masks(model) == {}
    count = 54 + int(gone["2.weight_mask"].sum()) + 2
    assert told(masks) == f"3 masks of torch.nn.utils.prune: {count} of 293 weights are masked, and stay so"


def test_a_recurrent_layer_computes_with_what_is_masked():
    torch.manual_seed(0)
    layer, steps = nn.LSTM(6, 4, batch_first=True), torch.randn(2, 3, 6)
    prune.l1_unstructured(layer, "weight_hh_l0", 0.5)
    before = layer(steps)[0]
    masks = take_masks(layer)
    assert torch.equal(layer(steps)[0], before)
    assert torch.equal(layer.weight_hh_l0 == 0, ~masks["weight_hh_l0"])
    layer(steps)[0].sum().backward()
    assert layer.weight_hh_l0.grad is not None


def test_one_parameter_under_two_masks_becomes_two_and_under_one_stays_one():
    first, second, third = (nn.Linear(4, 4, bias=False) for _ in range(3))
    second.weight = third.weight = first.weight
    for layer, gone in ((first, 0), (second, 1), (third, 1)):
        mask = torch.ones(4, 4)
        mask[gone] = 0
        prune.custom_from_mask(layer, "weight", mask)
    model, rows = nn.Sequential(first, second, third), torch.randn(2, 4)
    before = model(rows)
    masks = take_masks(model)
    assert torch.equal(model(rows), before)
    assert second.weight is third.weight is not first.weight
    assert [mask.all(1).tolist().index(False) for mask in masks.values()] == [0, 1, 1]


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm`:FutureWarning")
def test_weights_that_hooks_have_computed_are_copied():
    model, rows = (
        nn.Sequential(nn.utils.weight_norm(nn.Linear(4, 3)), nn.utils.spectral_norm(nn.Linear(3, 3))).eval(),
        torch.randn(2, 4),
    )
    with pytest.raises(RuntimeError, match="deepcopy"):
        copy.deepcopy(model)
    assert torch.equal(copied(model)(rows), model(rows))
    assert copied(model)[0].weight_v is not model[0].weight_v
    cut_off(model)
    assert torch.equal(copy.deepcopy(model)(rows), model(rows))
