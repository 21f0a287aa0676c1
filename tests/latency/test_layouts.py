"""Layers answer the same however they are stored; where a pattern has no layout, it is said why."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from prunebench.latency.layouts import (
    CSR,
    SEMI_STRUCTURED,
    SHAPE_2_4,
    SparseLinear,
    blocks,
    layouts,
    unavailable_2_4,
    unavailable_blocks,
    unfit_for_2_4,
)
from prunebench.pruning.granularity import read_pattern

CPU = torch.device("cpu")

square = pytest.mark.skipif(not torch.backends.mkl.is_available(), reason="PyTorch multiplies blocks by MKL")


def in_blocks(rows, columns, block, share, bias=True):
    """A layer whose blocks of this size are zero with this probability."""
    layer = nn.Linear(columns * block, rows * block, bias=bias)
    kept = (torch.rand(rows, columns) >= share).repeat_interleave(block, 0).repeat_interleave(block, 1)
    with torch.no_grad():
        layer.weight.mul_(kept)
    return layer


def two_of_four(rows, columns):
    """A layer of which two of four inputs side by side are left."""
    layer = nn.Linear(columns, rows)
    stays = read_pattern("2:4").stays(layer.weight.detach().abs())
    with torch.no_grad():
        layer.weight.mul_(stays)
    return layer


@square
@given(
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.integers(2, 5),
    st.lists(st.integers(0, 4), max_size=2),
    st.floats(0, 1),
    st.booleans(),
)
def test_a_layer_stored_in_blocks_answers_as_the_dense_one(shape, block, leading, share, bias):
    torch.manual_seed(0)
    dense = in_blocks(*shape, block, share, bias)
    inputs = torch.randn(*leading, dense.in_features)
    with torch.no_grad():
        answer, expected = SparseLinear(dense, (block, block))(inputs), dense(inputs)
    torch.testing.assert_close(answer, expected, rtol=1e-4, atol=1e-5)
    assert answer.is_contiguous()


@square
def test_only_blocks_that_are_not_zero_are_stored():
    dense = in_blocks(4, 4, 8, 0.0)
    with torch.no_grad():
        dense.weight[:, 8:].zero_()
    layout = blocks(8, 8)
    assert layout.unfit(dense) == ""
    assert layout.stored(dense).weight.values().shape == (4, 8, 8)


def test_blocks_do_not_fit_a_layer_that_they_do_not_divide():
    assert blocks(16, 16).unfit(nn.Linear(32, 10)) == "no multiple of 16 × 16"
    assert blocks(16, 16).unfit(nn.Linear(40, 32)) == "no multiple of 16 × 16"
    assert blocks(4, 1).unfit(nn.Linear(3, 8)) == ""


@square
def test_a_run_without_a_pattern_is_tried_as_csr_and_one_with_blocks_as_bsr_too():
    assert layouts(None, backend="eager", device=CPU, dtype="fp32") == ((CSR,), "")
    found, why = layouts(read_pattern("16x16"), backend="eager", device=CPU, dtype="fp32")
    assert ([layout.name for layout in found], why) == (["CSR", "BSR 16x16"], "")


@pytest.mark.parametrize(
    ("pattern", "backend", "dtype", "tried", "why"),
    [
        ("2:4", "eager", "fp32", 1, "this device (cpu) has no kernels for it"),
        ("2:4", "eager", "bf16", 0, "this device (cpu) has no kernels for it"),
        ("row", "eager", "fp32", 1, "zeros in masked rows are multiplied as any number"),
        ("16x16", "eager", "bf16", 0, "blocks are multiplied in fp32 alone, not in bf16"),
        ("16x16", "onnxruntime", "fp32", 0, "layers are stored so in eager PyTorch"),
        ("2:4", "compile", "bf16", 0, "layers are stored so in eager PyTorch"),
        (None, "compile", "fp32", 0, ""),
        (None, "eager", "bf16", 0, ""),
    ],
)
def test_where_a_pattern_has_no_layout_it_is_said_why(pattern, backend, dtype, tried, why):
    asked = None if pattern is None else read_pattern(pattern)
    found, said = layouts(asked, backend=backend, device=CPU, dtype=dtype)
    assert found == (CSR,) * tried
    assert said.startswith(why)
    assert bool(said) is bool(why)


@square
def test_blocks_that_pytorch_does_not_multiply_are_found_by_trying():
    found, why = layouts(read_pattern("4x1"), backend="eager", device=CPU, dtype="fp32")
    assert (found, why) == ((CSR,), "PyTorch multiplies by no blocks of 4x1 on this device (cpu)")


@pytest.mark.parametrize(
    ("dtype", "device", "runs", "why"),
    [
        ("bf16", "cuda", True, ""),
        ("fp32", "cuda", True, "this device has kernels for it in bf16, not in fp32: give --dtype bf16"),
        ("bf16", "cuda", False, "this device (cuda) has no kernels for it"),
        ("fp32", "cuda", False, "this device (cuda) has no kernels for it"),
    ],
)
def test_2_4_is_stored_where_the_device_has_kernels_in_the_dtype(dtype, device, runs, why):
    assert unavailable_2_4(dtype, device, runs) == why


def test_blocks_are_stored_where_the_device_multiplies_by_them():
    assert unavailable_blocks("16x16", "fp32", "cuda", True) == ""
    assert "no blocks of 16x16 on this device (cuda)" in unavailable_blocks("16x16", "fp32", "cuda", False)


def test_a_layer_fits_2_4_by_its_shape_and_by_its_zeros():
    high, wide = SHAPE_2_4
    assert unfit_for_2_4(two_of_four(high, wide)) == ""
    assert unfit_for_2_4(two_of_four(3 * high, 2 * wide)) == ""
    for rows, columns in ((high - 1, wide), (high, wide + 4), (10, wide)):
        assert unfit_for_2_4(two_of_four(rows, columns)) == f"no multiple of {high} × {wide}"
    assert unfit_for_2_4(nn.Linear(wide, high)) == "not pruned to 2:4"
    sparser = two_of_four(high, wide)
    with torch.no_grad():
        sparser.weight[:, :8].zero_()
    assert unfit_for_2_4(sparser) == ""


def test_a_shape_that_fits_is_one_that_pytorch_takes():
    """PyTorch's own figures for 16 bits, of both libraries that it may call."""
    for of in (torch.sparse.SparseSemiStructuredTensorCUTLASS, torch.sparse.SparseSemiStructuredTensorCUSPARSELT):
        asked = of._DTYPE_SHAPE_CONSTRAINTS[torch.bfloat16]
        assert [SHAPE_2_4[0] % asked.sparse_min_rows, SHAPE_2_4[1] % asked.sparse_min_cols] == [0, 0]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch's kernels for 2:4 are for CUDA")
@pytest.mark.parametrize("samples", [1, 2, 16, 128])
def test_a_layer_stored_as_2_4_answers_as_the_dense_one(samples):
    torch.manual_seed(0)
    dense = two_of_four(64, 128).to("cuda", torch.bfloat16)
    inputs = torch.randn(samples, 128, device="cuda", dtype=torch.bfloat16)
    with torch.no_grad():
        torch.testing.assert_close(SEMI_STRUCTURED.stored(dense)(inputs), dense(inputs), rtol=2e-2, atol=2e-2)
