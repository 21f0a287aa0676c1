"""Variants hold what was pruned, masked or rounded up, and nothing else."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from prunebench import RunConfig
from prunebench.experiment.resolve import resolve
from prunebench.experiment.untrained import untrained
from prunebench.latency.variants import TimedStep, layers_as_they_were, mask_like, rounded_up, variants
from prunebench.models.input_spec import output_of
from prunebench.models.passing import pass_on
from prunebench.pruning.methods import structured, unstructured
from prunebench.records import VARIANTS


@pytest.mark.parametrize("name", ["resnet18", "bert"])
def test_as_many_filters_are_masked_as_were_removed(name, fresh, request_for):
    state = fresh(name)
    whole = copy.deepcopy(state.model)
    structured.prune(state.model, {}, request_for(state.architecture.inputs, 0.3))
    masked = mask_like(whole, state)
    shrunk = 0
    output_of(masked, state.architecture.inputs.example())  # computes weight from weight_orig and weight_mask
    for path, module in masked.named_modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            kept = len(state.model.get_submodule(path).weight)
            shrunk += kept < len(module.weight)
            assert hasattr(module, "weight_mask") == (kept < len(module.weight))
            assert int(module.weight.flatten(1).ne(0).any(1).sum()) == kept
    assert shrunk >= 8


def test_of_a_block_that_went_every_weight_is_masked_and_no_layer_is_as_it_was(fresh):
    state = fresh("resnet18", 32)
    whole = copy.deepcopy(state.model)
    pass_on(state.model.layer2[1], 0)
    gone = {f"layer2.1.{part}" for part in ("conv1", "bn1", "conv2", "bn2")}
    kept = layers_as_they_were(whole, state)
    assert {name for name, module in whole.named_modules() if list(module.parameters(False))} - kept == gone
    masked = mask_like(whole, state)
    assert [name for name, _ in masked.named_buffers() if name.endswith("_mask")] == [
        "layer2.1.conv1.weight_mask",
        "layer2.1.conv2.weight_mask",
    ]
    assert not masked.layer2[1].conv1.weight_mask.any()
    assert rounded_up(state, resolve(RunConfig(model="resnet18", method="depth")), 1) is None


def test_masks_of_single_weights_are_put_in_place_as_they_are(tiny_state, request_for):
    state = tiny_state()
    request = request_for(state.architecture.inputs, 0.5, "l1", targets="all")
    whole = copy.deepcopy(state.model)
    masks = unstructured.prune(state.model, {}, request).masks
    masked = copy.deepcopy(mask_like(whole, replace(state, masks=masks)))  # backends copy it
    for name, mask in masks.items():
        path, _, key = name.rpartition(".")
        assert torch.equal(getattr(masked.get_submodule(path), f"{key}_mask").bool(), mask)
    example = state.architecture.inputs.example(4)
    assert torch.equal(masked(example), state.model(example))


@pytest.mark.parametrize("name", ["resnet18", pytest.param("alexnet", marks=pytest.mark.slow)])
def test_rounded_channels_are_the_next_multiple_of_eight(name):
    config = resolve(RunConfig(model=name, fraction=0.1, iterations=5, device="cpu"))
    states = {step: state for step, _, state in untrained(config)}
    rounded = rounded_up(states[0], config, 5)
    assert rounded is not None
    for path, module in states[5].model.named_modules():
        if isinstance(module, nn.Conv2d):
            whole, left = (len(state.model.get_submodule(path).weight) for state in (states[0], states[5]))
            assert len(rounded.model.get_submodule(path).weight) == min(whole, -(-left // 8) * 8) >= left
    assert rounded.model(states[0].architecture.inputs.example(2)).shape == (2, 10)


@pytest.mark.parametrize("about", [{"method": "unstructured"}, {"round_to": 8}, {"round_to": 16}])
def test_nothing_is_rounded_where_it_would_be_the_same(about, tiny_state, tiny_config):
    assert rounded_up(tiny_state(), resolve(tiny_config(**about)), 1) is None


def test_the_unpruned_model_is_not_rounded(tiny_state, tiny_config):
    assert rounded_up(tiny_state(), resolve(tiny_config()), 0) is None


def test_every_variant_has_a_meaning_and_the_original_stays_as_it_is(tiny_state, request_for):
    original, pruned = tiny_state(), tiny_state()
    structured.prune(pruned.model, {}, request_for(pruned.architecture.inputs, 0.5))
    before = {name: id(tensor) for name, tensor in original.model.named_parameters()}
    found = variants(original, TimedStep(1, 0.5, pruned, rounded=tiny_state()))
    assert set(found) == {"masked", "pruned", "rounded"} <= set(VARIANTS)
    assert {name: id(tensor) for name, tensor in original.model.named_parameters()} == before
    assert all(parameter.requires_grad for parameter in original.model.parameters())
    assert "no speed-up expected" in VARIANTS["masked"]


def test_layers_that_pruning_left_alone_are_told_by_shape_and_mask(tiny_state, request_for):
    original, pruned = tiny_state(), tiny_state()
    structured.prune(pruned.model, {}, request_for(pruned.architecture.inputs, 0.5, exclude=("classifier",)))
    assert layers_as_they_were(original.model, pruned) == {"classifier.3"}
    masks = {"features.0.weight": torch.ones(8, 3, 3, 3, dtype=torch.bool)}
    left = layers_as_they_were(original.model, replace(tiny_state(), masks=masks))
    assert left == {"features.1", "features.4", "features.5", "classifier.1", "classifier.3"}
