"""Shares of time are those of the layers that are named."""

from __future__ import annotations

import time
from statistics import median

import pytest
import torch
from torch import nn

from prunebench.latency.breakdown import PASSES, layer_times, shares_of
from prunebench.statistics import median_interval

CPU = torch.device("cpu")


class Slow(nn.Linear):
    """A linear layer that takes its time."""

    def forward(self, inputs):
        time.sleep(0.01)
        return super().forward(inputs)


def test_a_slow_layer_takes_its_share_of_a_pass():
    model = nn.Sequential(Slow(4, 4), nn.ReLU(), Slow(4, 4), nn.Linear(4, 4))
    with torch.inference_mode():
        passes = layer_times(model, torch.randn(2, 4), CPU)
    assert len(passes) == PASSES
    assert all(set(of) == {"0", "2", "3"} for _, of in passes)
    assert median(shares_of(passes, {"0"})) == pytest.approx(0.5, abs=0.2)
    assert median(shares_of(passes, {"0", "2", "3"})) > 0.8
    assert median(shares_of(passes, {"3"})) < 0.2
    assert shares_of(passes, set()) == (0,) * PASSES


def test_so_many_passes_have_an_interval():
    assert median_interval(range(PASSES)).known


def test_hooks_are_gone_afterwards(tiny_state):
    state = tiny_state()
    with torch.inference_mode():
        layer_times(state.model, state.architecture.inputs.example(), CPU)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in state.model.modules())


def test_a_layer_that_is_called_twice_counts_twice():
    layer = Slow(4, 4)
    model = nn.Sequential(layer, layer)
    with torch.inference_mode():
        passes = layer_times(model, torch.randn(2, 4), CPU)
    assert all(of["0"] >= 0.02 for _, of in passes)
