"""Tensors are pruned one after the other, each by what those before it, pruned, put out."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from prunebench.errors import ConfigError
from prunebench.models.input_spec import InputSpec
from prunebench.pruning.criteria.sparsegpt import sparsegpt
from prunebench.pruning.criteria.wanda import wanda
from prunebench.pruning.granularity import read_pattern
from prunebench.pruning.methods import unstructured
from prunebench.pruning.registry import Criterion, Request, methods
from prunebench.pruning.solvers import sparsegpt as solver
from prunebench.pruning.turns import in_turn

VECTORS = InputSpec(kind="images", channels=1, size=4)


class Reversed(nn.Module):
    """Two layers that are used in the other order than they are named."""

    def __init__(self):
        super().__init__()
        self.second, self.first = nn.Linear(12, 3), nn.Linear(16, 12)

    def forward(self, images):
        return self.second(self.first(images.flatten(1)).relu())


class Task:
    """Given samples."""

    inputs = VECTORS

    def __init__(self, data):
        self.data, self.targets = data, self

    def some(self, part, count):
        return torch.arange(min(count, len(self.data)))

    def batches(self, part, chunks, device):
        return ((self.data[chunk], None) for chunk in chunks)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Reversed()


@pytest.fixture
def asked():
    data = torch.randn(50, 1, 4, 4, generator=torch.Generator().manual_seed(1)) @ torch.ones(4, 4).tril()
    about = {"task": Task(data), "scope": "layerwise", "untrained": True, "calibration": 50}
    return Request(0.5, sparsegpt, VECTORS, **about), data.flatten(1)


def test_each_is_solved_by_what_the_pruned_ones_before_it_put_out(model, asked):
    request, data = asked
    before = copy.deepcopy(model)
    masks = unstructured.prune(model, {}, request).masks
    with torch.no_grad():
        mask, values = solver.solve(before.first.weight, data.T @ data, 96)
        assert torch.equal(masks["first.weight"], mask)
        assert torch.allclose(model.first.weight, values, rtol=1e-4, atol=1e-6)
        hidden = model.first(data).relu()
        mask, values = solver.solve(before.second.weight, hidden.T @ hidden, 18)
    assert torch.equal(masks["second.weight"], mask)
    assert torch.allclose(model.second.weight, values, rtol=1e-4, atol=1e-6)


def test_what_scores_by_what_weights_read_does_so_in_turn_where_nothing_is_trained_afterwards(model, asked):
    request, data = replace(asked[0], criterion=wanda), asked[1]
    before = copy.deepcopy(model)
    masks = unstructured.prune(model, {}, request).masks
    first, second = before.first, before.second
    with torch.no_grad():
        scores = first.weight.abs() * data.norm(dim=0)
        assert torch.equal(masks["first.weight"], scores > scores.flatten().sort().values[95])
        first.weight.mul_(masks["first.weight"])
        scores = second.weight.abs() * first(data).relu().norm(dim=0)
        assert torch.equal(masks["second.weight"], scores > scores.flatten().sort().values[17])
    assert torch.equal(model.second.weight, second.weight * masks["second.weight"])


def test_it_is_in_turn_only_where_that_means_something():
    assert in_turn(wanda, "row", untrained=True)
    assert not in_turn(wanda, "row", untrained=False)
    assert not in_turn(wanda, "global", untrained=True)
    assert not in_turn(lambda weight, gradient: weight * gradient, "layerwise", untrained=True)
    assert in_turn(sparsegpt, "layerwise", untrained=False)


def test_step_by_step_what_has_gone_stays_away_and_counts_are_exact(model, asked):
    request, _ = asked
    masks = {}
    for gone in (0.3, 0.55, 0.9):
        last, masks = masks, unstructured.prune(model, masks, replace(request, gone=gone)).masks
        assert int((~masks["first.weight"]).sum()) == round(gone * 192)
        assert int((~masks["second.weight"]).sum()) == round(gone * 36)
        assert not any((mask & ~last[name]).any() for name, mask in masks.items() if last)
        assert all(model.get_parameter(name)[~mask].eq(0).all() for name, mask in masks.items())


def test_of_a_pattern_columns_are_channels_at_the_same_place_of_a_kernel(asked):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 8, 1), nn.Conv2d(8, 4, (3, 2), groups=2), nn.Flatten())
    request = replace(asked[0], pattern=read_pattern("2:4"), scope="global")
    pruned = unstructured.prune(model, {}, request)
    assert pruned.masks.keys() == {"1.weight"}
    assert (pruned.masks["1.weight"].sum(1) == 2).all()
    assert model[1].weight[~pruned.masks["1.weight"]].eq(0).all()


def test_transposed_weights_and_those_of_several_readers_are_pruned_as_they_lie(asked):
    from transformers.pytorch_utils import Conv1D

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.turned, self.attention = Conv1D(8, 4), nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, images):
            hidden = self.turned(images[:, 0])
            return self.attention(hidden, 2 * hidden.relu(), hidden.tanh())[0].flatten(1)

    torch.manual_seed(0)
    model, request = Net(), asked[0]
    masks = unstructured.prune(model, {}, request).masks
    assert {name: int(mask.sum()) for name, mask in masks.items()} == {
        "turned.weight": 16,
        "attention.in_proj_weight": 96,
        "attention.out_proj.weight": 32,
    }
    assert [int(part.sum()) for part in masks["attention.in_proj_weight"].chunk(3)] == [32] * 3


def too_many(weight, gram, going):
    return torch.zeros_like(weight, dtype=torch.bool), weight


def of_another_shape(weight, gram):
    return weight[0] > 0, weight[0]


def back_again(weight, gram, left):
    return torch.ones_like(left), weight


def back_in_place(weight, gram, left):
    return left.fill_(True), weight


@pytest.mark.parametrize(
    ("criterion", "told"),
    [
        (too_many, "96 weights were to go, and 192 did"),
        (of_another_shape, "two tensors"),
        (back_again, "come back"),
        (back_in_place, "come back"),
    ],
)
def test_a_criterion_of_ones_own_that_solves_wrongly_is_told(criterion, told, model, asked):
    masks = {"first.weight": torch.rand(12, 16) > 0.1} if criterion in (back_again, back_in_place) else {}
    with pytest.raises(ConfigError, match=rf"solved first.weight wrongly: .*{told}"):
        unstructured.prune(model, masks, replace(asked[0], criterion=criterion))


def test_a_criterion_of_ones_own_that_solves_past_a_pattern_is_told(model, asked):
    def first_half(weight, gram):
        return (torch.arange(weight.shape[-1]) < weight.shape[-1] // 2).expand_as(weight), weight

    request = replace(asked[0], criterion=first_half, pattern=read_pattern("2:4"))
    with pytest.raises(ConfigError, match=r"solved first.weight wrongly: of every 4 columns .* as --pattern 2:4 says"):
        unstructured.prune(model, {}, request)


def test_what_solves_removes_no_units(asked):
    with pytest.raises(ConfigError, match=r"solves for single weights, and structured pruning ranks units"):
        methods.get("structured").ranking(Criterion("mine", "", too_many, too_many))
