"""Sizes of layers: as they were, as they are, and what masks leave of them."""

from __future__ import annotations

import msgspec
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from prunebench.models.input_spec import InputSpec
from prunebench.models.layers import ZERO, layer_name, layer_records, prunable_weights, unit_count
from prunebench.models.passing import pass_on
from prunebench.pruning.methods import structured, unstructured

WEIGHTS = ("features.0.weight", "features.4.weight", "classifier.1.weight", "classifier.3.weight")
"""Those of the small CNN."""


def test_every_conv_and_linear_layer_is_recorded_in_order(tiny_state):
    records = layer_records(tiny_state().model, {}, (), {}, WEIGHTS)
    assert [(layer.name, layer.kind, layer.shape) for layer in records] == [
        ("features.0", "Conv2d", (8, 3, 3, 3)),
        ("features.4", "Conv2d", (12, 8, 3, 3)),
        ("classifier.1", "Linear", (16, 48)),
        ("classifier.3", "Linear", (3, 16)),
    ]
    assert all(layer.weights == layer.weights_left for layer in records)


def test_a_pruned_layer_remembers_its_original_shape(tiny_state, request_for):
    state = tiny_state()
    first = layer_records(state.model, {}, (), {}, WEIGHTS)
    structured.prune(state.model, {}, request_for(state.architecture.inputs, 0.5))
    second = layer_records(state.model, {}, first, {}, WEIGHTS)[1]
    assert (second.shape_original, second.shape) == ((12, 8, 3, 3), (6, 4, 3, 3))
    assert (second.weights, second.weights_left) == (12 * 8 * 9, 6 * 4 * 9)
    names = ["features.0.weight", "features.4.weight"]
    counts = prunable_weights(names, layer_records(state.model, {}, first, {}, WEIGHTS))
    assert counts == ((8 * 3 + 12 * 8) * 9, (4 * 3 + 6 * 8) * 9, (4 * 3 + 6 * 4) * 9)


def test_of_a_layer_that_went_with_its_block_nothing_is_left_and_it_has_not_collapsed(fresh):
    model = fresh("resnet18", 32).model
    weights = [name for name, parameter in model.named_parameters() if parameter.ndim > 1]
    first = layer_records(model, {}, (), {}, weights)
    pass_on(model.layer2[1], 0)
    second = layer_records(model, {}, first, {}, weights)
    assert [layer.name for layer in second] == [layer.name for layer in first]
    gone = [layer for layer in second if layer.weights_left == 0]
    assert [layer.name for layer in gone] == ["layer2.1.conv1", "layer2.1.conv2"]
    assert {(layer.kind, layer.shape, layer.shape_original, layer.collapsed) for layer in gone} == {
        ("Conv2d", (0, 128, 3, 3), (128, 128, 3, 3), "")
    }
    assert prunable_weights(["layer2.1.conv1.weight"], second) == (128 * 128 * 9, 0, 0)


def test_masked_weights_are_not_left(tiny_state, request_for):
    state = tiny_state()
    masks = unstructured.prune(state.model, {}, request_for(state.architecture.inputs, 0.5, scope="layerwise")).masks
    records = layer_records(state.model, masks, (), {}, WEIGHTS)
    assert all(layer.weights_left * 2 == layer.weights for layer in records)
    assert prunable_weights(["features.0.weight"], records) == (216, 216, 108)


def test_a_model_that_is_one_layer_is_recorded_with_its_mask(request_for):
    model = nn.Linear(10, 10)
    request = request_for(InputSpec(kind="images", size=10), 0.3)
    masks = unstructured.prune(model, {}, request).masks
    records = layer_records(model, masks, (), {}, ["weight"])
    assert [(layer.name, layer.weights, layer.weights_left) for layer in records] == [("", 100, 70)]
    assert prunable_weights(unstructured.prunable(model, request), records) == (100, 100, 70)


@pytest.mark.parametrize(
    ("parameter", "name"),
    [
        ("features.0.weight", "features.0"),
        ("weight", ""),
        ("rows.weight_ih_l0", "rows.weight_ih_l0"),
        ("mix", "mix"),
        ("attention.in_proj_weight", "attention.in_proj_weight"),
        ("features.0.parametrizations.weight.original1", "features.0"),
        ("parametrizations.weight.original", ""),
        ("rows.parametrizations.weight_hh_l0.original", "rows.weight_hh_l0"),
        ("features.0.parametrizations.weight.0.inner.weight", "features.0.parametrizations.weight.0.inner"),
    ],
)
def test_a_weight_goes_by_its_layer_or_by_its_own_name(parameter, name):
    assert layer_name(parameter) == name


def test_weights_that_no_layer_holds_alone_are_recorded_by_their_names():
    model = nn.ModuleDict({"rows": nn.LSTM(4, 3), "attention": nn.MultiheadAttention(4, 2)})
    model.register_parameter("mix", nn.Parameter(torch.randn(4, 5)))
    mask = torch.zeros(4, 5, dtype=torch.bool)
    weights = [name for name, parameter in model.named_parameters() if parameter.ndim > 1]
    records = layer_records(model, {"mix": mask}, (), {}, weights)
    assert [(layer.name, layer.kind, layer.weights, layer.weights_left) for layer in records] == [
        ("mix", "ModuleDict", 20, 0),
        ("rows.weight_ih_l0", "LSTM", 48, 48),
        ("rows.weight_hh_l0", "LSTM", 36, 36),
        ("attention.in_proj_weight", "MultiheadAttention", 48, 48),
        ("attention.out_proj", "NonDynamicallyQuantizableLinear", 16, 16),
    ]
    assert [layer.collapsed for layer in records] == [ZERO, "", "", "", ""]
    assert prunable_weights(weights, records) == (168, 168, 148)
    assert layer_records(model, {}, records[:2], {}, weights) == (
        msgspec.structs.replace(records[0], weights_left=20, collapsed=""),
        records[1],
    )


@given(st.integers(0, 10**9), st.data())
def test_what_was_achieved_is_a_share_of_what_was_there_before(before, data):
    left = data.draw(st.integers(0, before))
    unit = unit_count("channels", 2 * before, before, left)
    assert (unit.kind, unit.original, unit.before, unit.left) == ("channels", 2 * before, before, left)
    assert 0 <= unit.achieved <= 1
    assert before * (1 - unit.achieved) == pytest.approx(left)
