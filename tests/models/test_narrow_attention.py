"""Attention with any number of heads gives what torch's gives with all of them."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from prunebench.models.narrow_attention import narrow


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("masks", ["none", "causal", "float per head", "padding", "both"])
@pytest.mark.parametrize("kwargs", [{"batch_first": True}, {}, {"bias": False}, {"kdim": 6, "vdim": 5}])
def test_with_all_heads_it_is_torchs(kwargs, masks, need_weights):
    torch.manual_seed(0)
    wanted = nn.MultiheadAttention(8, 4, **kwargs).eval()
    found = copy.deepcopy(wanted)
    narrow(found)
    batch, length = 2, 3
    shape = (batch, length) if kwargs.get("batch_first") else (length, batch)
    query = torch.randn(*shape, 8)
    key = torch.randn(*shape, kwargs.get("kdim", 8))
    value = torch.randn(*shape, kwargs.get("vdim", 8))
    options = {"need_weights": need_weights}
    if masks in ("causal", "both"):
        options["attn_mask"] = torch.ones(length, length, dtype=torch.bool).triu(1)
    if masks == "float per head":
        options["attn_mask"] = torch.randn(batch * 4, length, length)
    if masks in ("padding", "both"):
        options["key_padding_mask"] = torch.tensor([[False] * 3, [False, False, True]])
    for mine, theirs in zip(found(query, key, value, **options), wanted(query, key, value, **options), strict=True):
        assert (mine is None) == (theirs is None)
        assert mine is None or torch.allclose(mine, theirs, atol=1e-6)


def test_a_single_sequence_needs_no_batch():
    torch.manual_seed(0)
    wanted = nn.MultiheadAttention(8, 2).eval()
    found = copy.deepcopy(wanted)
    narrow(found)
    x = torch.randn(5, 8)
    for mine, theirs in zip(found(x, x, x), wanted(x, x, x), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-6)
