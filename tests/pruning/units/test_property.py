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


def convolution(c, number, other):
    return nn.Conv2d(c, 4 + number % 5, 3, padding=1, bias=number % 2 == 0), 4 + number % 5


def grouped(groups):
    """A convolution in groups that keeps its channels or doubles them."""

    def build(c, number, other):
        wide = c * (1 + number % 2)
        return (nn.Conv2d(c, wide, 3, padding=1, groups=groups or c), wide) if c % (groups or c) == 0 else None

    return build


def same(build):
    """A step that keeps the number of channels."""
    return lambda c, number, other: (build(c), c)


def even(build):
    """A step that needs an even number of channels."""
    return lambda c, number, other: build(c) if c % 2 == 0 else None


class Order(nn.Module):
    """An order of channels, as a buffer."""

    def __init__(self, c):
        super().__init__()
        self.register_buffer("order", torch.randperm(c, generator=torch.Generator().manual_seed(c)))


def attend(h, part, other, x):
    q, k, v = part[0](h.flatten(2).transpose(1, 2)).unflatten(-1, (3, -1, 3)).permute(2, 0, 3, 1, 4)
    out = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
    return h + part[1](out).transpose(1, 2).view(h.shape)


def halves(h, part, other, x):
    left, right = h.chunk(2, 1)
    return left * right.sigmoid()


def plain(h, part, other, x):
    return part(h)


nothing = same(lambda c: nn.Identity())
STEPS = {
    "conv": (convolution, plain),
    "depthwise": (grouped(None), plain),
    "grouped": (grouped(2), plain),
    "norm": (same(nn.BatchNorm2d), plain),
    "group norm": (same(lambda c: nn.GroupNorm(2 if c % 2 == 0 else c, c)), plain),
    "relu": (same(lambda c: nn.ReLU()), plain),
    "sigmoid": (same(lambda c: nn.Sigmoid()), plain),
    "add": (lambda c, number, other: (nn.Conv2d(other, c, 1), c), lambda h, part, other, x: h + part(other)),
    "cat": (lambda c, number, other: (nn.Identity(), c + other), lambda h, part, other, x: torch.cat([h, other], 1)),
    "cat input": (lambda c, number, other: (nn.Identity(), c + 3), lambda h, part, other, x: torch.cat([x, h], 1)),
    "chunk": (even(lambda c: (nn.Identity(), c // 2)), halves),
    "permute": (same(Order), lambda h, part, other, x: h[:, part.order]),
    "flip": (nothing, lambda h, part, other, x: h.flip(1)),
    "shuffle": (even(lambda c: (nn.Identity(), c)), lambda h, part, other, x: F.channel_shuffle(h, 2)),
    "roll": (nothing, lambda h, part, other, x: h.roll(2, 1)),
    "gate": (
        same(lambda c: nn.Sequential(nn.Linear(c, 3), nn.ReLU(), nn.Linear(3, c), nn.Sigmoid())),
        lambda h, part, other, x: h * part(h.mean((2, 3)))[:, :, None, None],
    ),
    "attention": (same(lambda c: nn.ModuleList([nn.Linear(c, 18), nn.Linear(6, c)])), attend),
    "softmax": (nothing, lambda h, part, other, x: h.softmax(1)),
    "scale": (same(lambda c: nn.ParameterList([torch.rand(c, 1, 1)])), lambda h, part, other, x: h * part[0]),
    "repeat": (
        lambda c, number, other: (nn.Identity(), 2 * c),
        lambda h, part, other, x: h.repeat_interleave(2, 1),
    ),
    "unshuffle": (
        lambda c, number, other: (nn.Identity(), 4 * c),
        lambda h, part, other, x: F.interpolate(F.pixel_unshuffle(h, 2), scale_factor=2),
    ),
    "twice": (same(lambda c: nn.Conv2d(c, c, 1)), lambda h, part, other, x: part(part(h).relu())),
}
"""Name → what it needs, and how many channels it leaves (None: it cannot be taken); what it does with them."""


class Network(nn.Module):
    """Steps on maps of 4×4, of at most 24 channels."""

    def __init__(self, steps, flat):
        super().__init__()
        self.flat, self.steps, self.parts = flat, [], nn.ModuleList()
        widths = [3]
        for step, number in steps:
            source = number % len(widths)
            built = STEPS[step][0](widths[-1], number, widths[source])
            if built is not None and built[1] <= 24:
                self.parts.append(built[0])
                self.steps.append((step, source))
                widths.append(built[1])
        self.out = nn.Linear(widths[-1] * (16 if flat else 1), 3)

    def forward(self, x):
        maps = [x]
        for (step, source), part in zip(self.steps, self.parts, strict=True):
            maps.append(STEPS[step][1](maps[-1], part, maps[source], x))
        return self.out(maps[-1].flatten(1) if self.flat else maps[-1].mean((2, 3)))


NETWORKS = st.tuples(
    st.lists(st.tuples(st.sampled_from(list(STEPS)), st.integers(0, 11)), min_size=1, max_size=8).map(
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
