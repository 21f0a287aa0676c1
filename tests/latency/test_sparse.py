"""Compressed layers answer as the dense ones, and are chosen where the clock says so."""

from __future__ import annotations

import copy
import random
import time
import weakref

import msgspec
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from prunebench.latency import layouts
from prunebench.latency.layouts import SparseLinear
from prunebench.latency.sparse import PAIRS, choose, compress
from prunebench.models.input_spec import output_of
from prunebench.statistics import paired_speedup


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
    st.lists(st.integers(0, 4), max_size=3),
    st.floats(0, 1),
    st.booleans(),
)
def test_a_compressed_layer_answers_as_the_dense_one(rows, columns, leading, share, bias):
    dense = emptied(nn.Linear(columns, rows, bias=bias), share)
    inputs = torch.randn(*leading, columns)
    with torch.no_grad():
        answer, expected = SparseLinear(dense)(inputs), dense(inputs)
    torch.testing.assert_close(answer, expected, rtol=1e-4, atol=1e-5)
    assert answer.is_contiguous()  # what reads it may ask for it, and its time would be paid there


def test_one_row_is_answered_without_a_product_with_a_vector_too(monkeypatch):
    monkeypatch.setattr(layouts, "VECTORS", False)
    dense, inputs = emptied(nn.Linear(9, 7), 0.8), torch.randn(1, 9)
    with torch.no_grad():
        torch.testing.assert_close(SparseLinear(dense)(inputs), dense(inputs), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["alexnet", "bert"])
def test_a_compressed_model_answers_as_the_dense_one_and_leaves_it_alone(name, fresh):
    state = fresh(name)
    model, batch = emptied(state.model, 0.95), state.architecture.inputs.example(2)
    before = copy.deepcopy(model.state_dict())
    layers = choose(model, batch, 2, seconds=0, seed=0)
    layers = [msgspec.structs.replace(layer, chosen=True) for layer in layers]
    found = compress(model, layers)
    with torch.no_grad():
        torch.testing.assert_close(output_of(found, batch), output_of(model, batch), rtol=1e-3, atol=1e-4)
    assert sum(isinstance(module, SparseLinear) for module in found.modules()) == len(layers) >= 3
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


@pytest.mark.skipif(not torch.backends.mkl.is_available(), reason="PyTorch multiplies blocks by MKL")
@pytest.mark.parametrize(
    ("ms", "layout", "chosen"),
    [
        ({"CSR": 0.5, "BSR": 0.7}, "CSR", True),
        ({"CSR": 0.7, "BSR": 0.5}, "BSR 8x8", True),
        ({"CSR": 1.2, "BSR": 1.1}, "BSR 8x8", False),
    ],
)
def test_of_several_layouts_the_quickest_is_told_and_chosen_where_it_pays(ms, layout, chosen, tiny_net):
    model, tried = emptied(tiny_net(3), 0.9), (layouts.CSR, layouts.blocks(8, 8))

    def stopwatch(call):
        call()
        if not isinstance(call.func, SparseLinear):
            return 1.0
        return ms["CSR" if call.func.weight.layout == torch.sparse_csr else "BSR"]

    first, last = choose(model, torch.randn(4, 3, 12, 12), 4, seconds=0, seed=0, layouts=tried, stopwatch=stopwatch)
    assert (first.name, first.layout, first.chosen, first.unfit) == ("classifier.1", layout, chosen, {})
    (other,) = first.others_ms.values()
    assert len(other) == len(first.sparse_ms) == len(first.dense_ms)
    assert sum(other) >= sum(first.sparse_ms)
    assert (last.layout, last.unfit) == ("CSR", {"BSR 8x8": "no multiple of 8 × 8"})  # 3 × 16
    found = compress(model, [first], tried).get_submodule("classifier.1")
    assert isinstance(found, SparseLinear) is chosen
    if chosen:
        assert found.weight.layout == (torch.sparse_csr if layout == "CSR" else torch.sparse_bsr)


def test_a_layer_that_fits_no_layout_is_recorded_with_the_reason_and_not_timed(tiny_net):
    model = emptied(tiny_net(3), 0.9).to(torch.bfloat16)
    found = choose(model, torch.randn(2, 3, 12, 12), 2, seconds=0, seed=0, layouts=(layouts.SEMI_STRUCTURED,))
    assert [layer.unfit for layer in found] == [{"2:4": "no multiple of 32 × 64"}] * 2
    assert not any(layer.chosen or layer.sparse_ms for layer in found)


def test_a_layer_that_is_mostly_there_is_not_tried(tiny_net):
    assert choose(emptied(tiny_net(3), 0.2), torch.randn(2, 3, 12, 12), 2, seconds=0, seed=0) == []


def test_a_large_empty_layer_really_pays():
    model = emptied(nn.Sequential(nn.Linear(2048, 2048)), 0.99)
    (layer,) = choose(model, torch.randn(1, 2048), 1, seconds=1, seed=0)
    assert layer.chosen


def test_a_layer_is_not_chosen_while_noise_hides_whether_it_is_faster():
    draw = random.Random(3)
    model = emptied(nn.Sequential(nn.Linear(8, 8)), 0.9)
    (layer,) = choose(model, torch.randn(1, 8), 1, seconds=0, seed=0, stopwatch=lambda call: draw.lognormvariate(0, 1))
    gain = paired_speedup(layer.dense_ms, layer.sparse_ms)
    assert gain.median > 1 > gain.low
    assert not layer.chosen


class Odd(nn.Module):
    """Uses a layer twice, once by keyword, spoils what it has read, and asks for a contiguous answer."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def forward(self, inputs):
        first = 2 * inputs
        second = self.layer(input=first)
        first.zero_()
        return self.layer(second).view(-1, 4)


def test_a_layer_is_timed_on_what_it_reads_first():
    model, batch, read = emptied(Odd(), 0.8), torch.randn(3, 8), []

    def stopwatch(call):
        read.append(call.args[0].clone())
        return 0.5 if isinstance(call.func, SparseLinear) else 1.0

    layers = choose(model, batch, 3, seconds=0, seed=0, stopwatch=stopwatch)
    assert [layer.name for layer in layers] == ["layer"]
    assert read
    assert all(torch.equal(one, 2 * batch) for one in read)
    with torch.no_grad():
        torch.testing.assert_close(compress(model, layers)(batch), model(batch), rtol=1e-4, atol=1e-5)


def test_inputs_of_layers_are_not_kept():
    model, refs, held = emptied(nn.Sequential(*(nn.Linear(8, 8) for _ in range(5))), 0.8), [], []

    def stopwatch(call):
        if not any(ref() is call.args[0] for ref in refs):
            refs.append(weakref.ref(call.args[0]))
        held.append(sum(ref() is not None for ref in refs))
        return 1.0

    assert len(choose(model, torch.randn(2, 8), 2, seconds=0, seed=0, stopwatch=stopwatch)) == len(refs) == 5
    assert max(held) == 2  # the batch, and what one layer reads


class Doubled(nn.Linear):
    """A linear layer that is none."""

    def forward(self, inputs):
        return 2 * super().forward(inputs)


def test_a_layer_that_computes_something_else_is_not_tried():
    model = emptied(nn.Sequential(Doubled(8, 8)), 0.9)
    assert choose(model, torch.randn(2, 8), 2, seconds=0, seed=0) == []


def test_the_time_is_for_all_layers_together():
    draw = random.Random(0)
    model = emptied(nn.Sequential(*(nn.Linear(8, 8) for _ in range(6))), 0.8)
    start = time.perf_counter()
    choose(model, torch.randn(2, 8), 2, seconds=0.3, seed=0, stopwatch=lambda call: draw.lognormvariate(0, 1))
    assert 0.2 < time.perf_counter() - start < 0.9


class Broken(nn.Module):
    """Fails on what it is given."""

    def forward(self, inputs):
        raise ValueError("no")


def test_no_hook_stays_even_if_the_model_fails(tiny_net):
    model, broken = emptied(tiny_net(3), 0.9), emptied(nn.Sequential(nn.Linear(8, 8), Broken()), 0.9)
    with torch.inference_mode():  # as timings are
        choose(model, torch.randn(2, 3, 12, 12), 2, seconds=0, seed=0)
    with pytest.raises(ValueError, match="no"):
        choose(broken, torch.randn(2, 8), 2, seconds=0, seed=0)
    assert not any(module._forward_pre_hooks for module in (*model.modules(), *broken.modules()))
