"""Masks in a file take a bit per weight, and come back as they were; those of earlier versions too."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from prunebench.models import checkpoint
from prunebench.models.mask_bits import SHAPES, packed, unpacked
from prunebench.models.tensor_files import read_tensors

MASK = torch.tensor([[True, False, True], [True, True, False], [False, True, True]])


@given(st.lists(st.integers(0, 5), max_size=4), st.integers(0, 2**31))
def test_masks_of_any_shape_come_back(shape, seed):
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < 0.5
    bits, metadata = packed({"mask": mask})
    assert bits["mask"].numel() == -(-mask.numel() // 8)
    found = unpacked(bits, metadata)["mask"]
    assert found.dtype == torch.bool
    assert torch.equal(found, mask)


def test_the_first_weight_is_the_highest_bit_and_what_is_left_over_is_zero():
    bits, _ = packed({"weight": MASK})
    assert bits["weight"].tolist() == [0b10111001, 0b10000000]


def test_how_a_mask_lies_in_memory_is_not_kept():
    mask = torch.rand(2, 3, 4, 5) < 0.5
    bits, _ = packed({"mask": mask})
    turned, _ = packed({"mask": mask.to(memory_format=torch.channels_last)})
    assert torch.equal(bits["mask"], turned["mask"])


@pytest.mark.parametrize("version", ["this", "earlier"])
def test_a_checkpoint_has_them_in_memory_of_their_own(version, tiny_state, tmp_path):
    state = tiny_state()
    name = next(name for name, _ in state.model.named_parameters())
    masks = {name: torch.rand_like(state.model.get_parameter(name)) < 0.5}
    path = tmp_path / "masks.safetensors"
    if version == "this":
        bits, metadata = packed(masks)
        checkpoint.write_tensors(bits, path, metadata)
        assert load_file(path)[name].dtype == torch.uint8
    else:
        save_file(masks, path)
    found = unpacked(*read_tensors(path))
    path.write_bytes(bytes(path.stat().st_size))
    assert found.keys() == masks.keys()
    assert torch.equal(found[name], masks[name])


@pytest.mark.parametrize(
    "metadata", [{}, {SHAPES: "{}"}, {SHAPES: '{"weight": [3, 6]}'}, {SHAPES: '{"weight": [-3, -3]}'}, {SHAPES: "[1"}]
)
def test_bits_without_a_fitting_shape_are_refused(metadata):
    bits, _ = packed({"weight": MASK})
    with pytest.raises(ValueError, match=r"weight is no mask|Expected `object`"):
        unpacked(bits, metadata)


def test_the_order_in_which_they_come_decides_nothing():
    masks = {"b": MASK, "a": MASK[:1]}
    assert packed(masks)[1] == packed(dict(sorted(masks.items())))[1]
