"""Steps are those of PyTorch's optimizers, to the bit, and so is what they keep."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from prunebench.training.dense_adam import DenseAdam, DenseAdamW, in_order

SHAPES = ((3, 64, 7), (64, 16, 3), (5, 7, 3), (3, 10, 5), (128, 64, 1), (9, 1, 3))


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("dense", "kind"), [(DenseAdam, torch.optim.Adam), (DenseAdamW, torch.optim.AdamW)])
def test_steps_and_moments_have_the_same_bits_and_layout(dense, kind, threads, layout):
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    layers = [nn.Conv2d(i, o, size) for i, o, size in SHAPES]
    one = nn.Sequential(*layers, nn.Linear(33, 7)).to(memory_format=layout)
    other = copy.deepcopy(one)
    optimizers = [
        made(model.parameters(), 1e-3, weight_decay=0.01, fused=True) for made, model in ((dense, one), (kind, other))
    ]
    for _ in range(4):
        for a, b in zip(one.parameters(), other.parameters(), strict=True):
            a.grad = torch.randn_like(a)
            b.grad = a.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    kept, expected = ([of[name] for of in o.state_dict()["state"].values() for name in of] for o in optimizers)
    pairs = [*zip(one.parameters(), other.parameters(), strict=True), *zip(kept, expected, strict=True)]
    assert all(torch.equal(a, b) and a.stride() == b.stride() for a, b in pairs)


@pytest.mark.parametrize("shape", [(4, 3, 5, 5), (4, 3, 1, 1), (4, 1, 3, 3), (6, 2), (7,)])
def test_what_is_laid_out_channels_last_is_seen_contiguous_and_in_the_same_memory(shape):
    tensor = torch.randn(shape)
    laid = tensor.contiguous(memory_format=torch.channels_last) if len(shape) == 4 else tensor
    seen = in_order(laid)
    assert seen.is_contiguous()
    assert seen.data_ptr() == laid.data_ptr()
