"""Costs: multiply-accumulates and parameters agree with sums by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from prunebench.costs import macs, masked, params
from prunebench.inputs import Inputs
from prunebench.strategies import structured


def test_macs_of_convolutions_count_strides_and_groups_and_no_batch():
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.Conv2d(8, 8, 3, padding=1, groups=4),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    )
    by_hand = 6 * 6 * 8 * 3 * 9 + 6 * 6 * 8 * 2 * 9 + 8 * 5
    assert macs(model, Inputs(kind="images", size=12)) == by_hand


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_macs_of_bert_count_attention_however_it_is_computed(attention, fresh):
    state = fresh("bert")
    state.model.set_attn_implementation(attention)
    tokens, width, inner, layers, classes = 12, 32, 48, 2, 7
    projections = tokens * width * width * 4
    products = 2 * tokens * tokens * width
    by_hand = layers * (projections + products + 2 * tokens * width * inner) + width * width + width * classes
    assert macs(state.model, state.architecture.inputs) == by_hand
    assert state.model.config._attn_implementation == attention


def test_pruning_saves_macs_and_parameters(fresh, request_for):
    state = fresh("resnet18")
    before = macs(state.model, state.architecture.inputs), params(state.model)
    structured.prune(state.model, {}, request_for(state.architecture.inputs, 0.5))
    after = macs(state.model, state.architecture.inputs), params(state.model)
    assert all(0.2 < small / large < 0.3 for small, large in zip(after, before, strict=True))


@pytest.mark.parametrize("training", [True, False])
def test_counting_leaves_a_model_as_it_was(training, tiny_state):
    state = tiny_state()
    state.model.train(training)
    mean = state.model.features[1].running_mean.clone()
    macs(state.model, state.architecture.inputs)
    assert state.model.training is training
    assert torch.equal(state.model.features[1].running_mean, mean)


def test_masked_parameters_are_those_that_masks_remove():
    masks = {"a": torch.tensor([True, False, False]), "b": torch.ones(2, 2, dtype=torch.bool)}
    assert masked(masks) == 2
    assert masked({}) == 0
