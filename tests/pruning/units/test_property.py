"""Random small networks: what is proved stays exact for any other choice of units, inputs and weights."""

from __future__ import annotations

import hypothesis
import pytest
import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from torch import nn

from prunebench.pruning.units.copies import fresh, sharing
from prunebench.pruning.units.find import find
from prunebench.pruning.units.proof import prove
from prunebench.pruning.units.removal import masked, remove, shares

STEPS = (
    *("conv", "depthwise", "grouped", "norm", "group norm", "relu", "sigmoid", "add", "cat", "cat input", "chunk"),
    *("permute", "flip", "shuffle", "roll", "gate", "attention", "softmax", "scale", "repeat", "unshuffle", "twice"),
)


class Network(nn.Module):
    """Steps on maps of 4×4; what a step needs is built as its channels are known."""

    def __init__(self, steps, flat):
        super().__init__()
        self.flat, self.steps, self.parts = flat, [], nn.ModuleList()
        channels, earlier = 3, [3]
        for step, number in steps:
            taken = len(self.steps)
            channels = self.add(step, number, channels, earlier)
            earlier += [channels] * (len(self.steps) - taken)
        self.out = nn.Linear(channels * (16 if flat else 1), 3)

    def add(self, step, number, c, earlier):  # noqa: PLR0912
        """Append a step on c channels, if it can be taken; how many it leaves."""
        part, source, width = nn.Identity(), number % len(earlier), c
        if step == "conv":
            width = 4 + number % 5
            part = nn.Conv2d(c, width, 3, padding=1, bias=number % 2 == 0)
        elif step in ("depthwise", "grouped"):
            groups = c if step == "depthwise" else 2
            if c % groups:
                return c
            part = nn.Conv2d(c, c * (1 + number % 2), 3, padding=1, groups=groups)
            width = c * (1 + number % 2)
        elif step == "norm":
            part = nn.BatchNorm2d(c)
        elif step == "group norm":
            part = nn.GroupNorm(2 if c % 2 == 0 else c, c)
        elif step == "add":
            part = nn.Conv2d(earlier[source], c, 1) if earlier[source] != c else nn.Identity()
        elif step == "cat":
            width = c + earlier[source]
        elif step == "cat input":
            width = c + 3
        elif step in ("chunk", "shuffle") and c % 2:
            return c
        elif step == "chunk":
            width = c // 2
        elif step == "permute":
            self.register_buffer(
                f"order{len(self.steps)}", torch.randperm(c, generator=torch.Generator().manual_seed(number))
            )
        elif step == "gate":
            part = nn.Sequential(nn.Linear(c, 3), nn.ReLU(), nn.Linear(3, c), nn.Sigmoid())
        elif step == "attention":
            part = nn.ModuleList([nn.Linear(c, 3 * 2 * 3), nn.Linear(2 * 3, c)])
        elif step == "scale":
            part = nn.ParameterList([torch.rand(c, 1, 1)])
        elif step == "repeat":
            width = 2 * c
        elif step == "unshuffle":
            width = 4 * c
        elif step == "twice":
            part = nn.Conv2d(c, c, 1)
        if width > 24:
            return c
        self.steps.append((step, source))
        self.parts.append(part)
        return width

    def forward(self, x):
        h, maps = x, [x]
        for i, ((step, source), part) in enumerate(zip(self.steps, self.parts, strict=True)):
            h = self.take(step, h, part, maps[source], x, i)
            maps.append(h)
        return self.out(h.flatten(1) if self.flat else h.mean((2, 3)))

    def take(self, step, h, part, other, x, i):  # noqa: PLR0911, PLR0912, PLR0917
        """One step."""
        match step:
            case "relu" | "sigmoid":
                return getattr(torch, step)(h)
            case "add":
                return h + part(other)
            case "cat":
                return torch.cat([h, other], 1)
            case "cat input":
                return torch.cat([x, h], 1)
            case "chunk":
                left, right = h.chunk(2, 1)
                return left * right.sigmoid()
            case "permute":
                return h[:, getattr(self, f"order{i}")]
            case "flip":
                return h.flip(1)
            case "shuffle":
                return F.channel_shuffle(h, 2)
            case "roll":
                return h.roll(2, 1)
            case "gate":
                return h * part(h.mean((2, 3)))[:, :, None, None]
            case "attention":
                q, k, v = part[0](h.flatten(2).transpose(1, 2)).unflatten(-1, (3, -1, 3)).permute(2, 0, 3, 1, 4)
                out = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
                return h + part[1](out).transpose(1, 2).view(h.shape)
            case "softmax":
                return h.softmax(1)
            case "scale":
                return h * part[0]
            case "repeat":
                return h.repeat_interleave(2, 1)
            case "unshuffle":
                return F.interpolate(F.pixel_unshuffle(h, 2), scale_factor=2)
            case "twice":
                return part(part(h).relu())
        return part(h)


NETWORKS = st.tuples(
    st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 11)), min_size=1, max_size=8).map(
        lambda steps: [("conv", 4), *steps, ("conv", 3)]
    ),
    st.booleans(),
)


def check(network, fraction, seed):
    """What is proved of a network is exact for another choice; what cannot be removed may fail, but never differ."""
    torch.manual_seed(0)
    model = Network(*network).eval()
    inputs = torch.randn(1, 3, 4, 4)
    proof = prove(model, inputs, find(model, inputs))
    assert proof.sound, proof.problem
    if not proof.groups:
        return
    other = fresh(model, seed + 1)
    doomed = shares(proof.groups, fraction, seed + 1)
    values = torch.randn(3, 3, 4, 4, dtype=torch.float64)
    pruned = sharing(other)
    with torch.no_grad():
        with masked(other, proof.groups, doomed):
            wanted = other(values)
        remove(pruned, proof.groups, doomed, proof.bindings)
        found = pruned(values)
    assert float((found - wanted).abs().max()) <= 1e-9 * float(wanted.abs().max())


@hypothesis.settings(max_examples=25)
@hypothesis.given(NETWORKS, st.floats(0.05, 0.7), st.integers(0, 1000))
def test_what_is_proved_is_exact(network, fraction, seed):
    check(network, fraction, seed)


@pytest.mark.slow
@hypothesis.settings(max_examples=1000)
@hypothesis.given(NETWORKS, st.floats(0.05, 0.7), st.integers(0, 1000))
def test_what_is_proved_is_exact_in_a_thousand_networks(network, fraction, seed):
    check(network, fraction, seed)
