"""Sizes of layers: as they were, as they are, and what masks leave of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from prunebench.models.layers import layer_records, prunable_weights, unit_count
from prunebench.pruning.methods import structured, unstructured


def test_every_conv_and_linear_layer_is_recorded_in_order(tiny_state):
    records = layer_records(tiny_state().model, {}, (), {})
    assert [(layer.name, layer.kind, layer.shape) for layer in records] == [
        ("features.0", "Conv2d", (8, 3, 3, 3)),
        ("features.4", "Conv2d", (12, 8, 3, 3)),
        ("classifier.1", "Linear", (16, 48)),
        ("classifier.3", "Linear", (3, 16)),
    ]
    assert all(layer.weights == layer.weights_left for layer in records)


def test_a_pruned_layer_remembers_its_original_shape(tiny_state, request_for):
    state = tiny_state()
    first = layer_records(state.model, {}, (), {})
    structured.prune(state.model, {}, request_for(state.architecture.inputs, 0.5))
    second = layer_records(state.model, {}, first, {})[1]
    assert (second.shape_original, second.shape) == ((12, 8, 3, 3), (6, 4, 3, 3))
    assert (second.weights, second.weights_left) == (12 * 8 * 9, 6 * 4 * 9)
    names = ["features.0.weight", "features.4.weight"]
    counts = prunable_weights(names, layer_records(state.model, {}, first, {}))
    assert counts == ((8 * 3 + 12 * 8) * 9, (4 * 3 + 6 * 8) * 9, (4 * 3 + 6 * 4) * 9)


def test_masked_weights_are_not_left(tiny_state, request_for):
    state = tiny_state()
    masks = unstructured.prune(state.model, {}, request_for(state.architecture.inputs, 0.5, scope="layerwise")).masks
    records = layer_records(state.model, masks, (), {})
    assert all(layer.weights_left * 2 == layer.weights for layer in records)
    assert prunable_weights(["features.0.weight"], records) == (216, 216, 108)


def test_a_model_that_is_one_layer_is_recorded_with_its_mask(request_for, tiny_state):
    model = nn.Linear(10, 10)
    request = request_for(tiny_state().architecture.inputs, 0.3)
    masks = unstructured.prune(model, {}, request).masks
    records = layer_records(model, masks, (), {})
    assert [(layer.name, layer.weights, layer.weights_left) for layer in records] == [("", 100, 70)]
    assert prunable_weights(unstructured.prunable(model, request), records) == (100, 100, 70)


@given(st.integers(0, 10**9), st.data())
def test_what_was_achieved_is_a_share_of_what_was_there_before(before, data):
    left = data.draw(st.integers(0, before))
    unit = unit_count("channels", 2 * before, before, left)
    assert (unit.kind, unit.original, unit.before, unit.left) == ("channels", 2 * before, before, left)
    assert 0 <= unit.achieved <= 1
    assert before * (1 - unit.achieved) == pytest.approx(left)
