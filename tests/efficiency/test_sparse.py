"""Compressed layers answer as the dense ones, and are chosen where the clock says so."""

from __future__ import annotations

import copy

import msgspec
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from prunebench.efficiency.sparse import PAIRS, SparseLinear, choose, compress
from prunebench.inputs import logits_of


def emptied(model, share):
    """The model with this share of every linear weight zero, at random."""
    torch.manual_seed(0)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Linear):
                module.weight.mul_(torch.rand_like(module.weight) >= share)
    return model.eval()


@given(
    st.integers(1, 12),
    st.integers(1, 12),
    st.lists(st.integers(1, 4), max_size=3),
    st.floats(0, 1),
    st.booleans(),
)
def test_a_compressed_layer_answers_as_the_dense_one(rows, columns, leading, share, bias):
    dense = emptied(nn.Linear(columns, rows, bias=bias), share)
    inputs = torch.randn(*leading, columns) if leading else torch.randn(2, columns)
    with torch.no_grad():
        torch.testing.assert_close(SparseLinear(dense)(inputs), dense(inputs), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["alexnet", "bert"])
def test_a_compressed_model_answers_as_the_dense_one_and_leaves_it_alone(name, fresh):
    state = fresh(name)
    model, batch = emptied(state.model, 0.95), state.architecture.inputs.example(2)
    before = copy.deepcopy(model.state_dict())
    layers = choose(model, batch, 2, seconds=0, seed=0)
    layers = [msgspec.structs.replace(layer, chosen=True) for layer in layers]
    sparse = compress(model, layers)
    with torch.no_grad():
        torch.testing.assert_close(logits_of(sparse, batch), logits_of(model, batch), rtol=1e-3, atol=1e-4)
    assert sum(isinstance(module, SparseLinear) for module in sparse.modules()) == len(layers) >= 3
    assert not any(isinstance(module, SparseLinear) for module in model.modules())
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())


@pytest.mark.parametrize(("sparse_ms", "chosen"), [(0.5, True), (0.99, True), (1.0, False), (2.0, False)])
def test_a_layer_is_chosen_where_it_is_faster(sparse_ms, chosen, tiny_net):
    model = emptied(tiny_net(3), 0.9)

    def stopwatch(call):
        call()
        return sparse_ms if isinstance(call.func, SparseLinear) else 1.0

    layers = choose(model, torch.randn(4, 3, 12, 12), 4, seconds=0, seed=0, stopwatch=stopwatch)
    assert [layer.name for layer in layers] == ["classifier.1", "classifier.3"]
    for layer in layers:
        assert layer.chosen is chosen
        assert layer.batch_size == 4
        assert layer.sparsity == pytest.approx(0.9, abs=0.1)
        assert len(layer.dense_ms) == len(layer.sparse_ms) >= PAIRS
    found = compress(model, layers)
    assert sum(isinstance(module, SparseLinear) for module in found.modules()) == 2 * chosen
    assert found.get_parameter("features.0.weight") is model.get_parameter("features.0.weight")


def test_a_layer_that_is_mostly_there_is_not_tried(tiny_net):
    assert choose(emptied(tiny_net(3), 0.2), torch.randn(2, 3, 12, 12), 2, seconds=0, seed=0) == []


def test_a_large_empty_layer_really_pays():
    model = emptied(nn.Sequential(nn.Linear(2048, 2048)), 0.99)
    (layer,) = choose(model, torch.randn(1, 2048), 1, seconds=1, seed=0)
    assert layer.chosen
