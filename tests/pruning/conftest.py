"""Small models with residual blocks of every build."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from prunebench.models.input_spec import InputSpec

WIDTH = 8


class Residual(nn.Module):
    """x + f(x) of images; with `after` something follows the sum."""

    def __init__(self, after=None, stride=1, width=WIDTH):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(WIDTH, width, 3, stride, padding=1), nn.BatchNorm2d(width)
        self.after = after or nn.Identity()
        self.skip = nn.Conv2d(WIDTH, width, 1, stride) if stride > 1 or width != WIDTH else nn.Identity()

    def forward(self, images):
        return self.after(self.skip(images) + self.norm(self.conv(images)).relu())


class Plain(nn.Module):
    """Alike in shape, and no sum in it."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)

    def forward(self, images):
        return self.conv(images).relu()


class Twice(nn.Module):
    """Runs one block twice."""

    def __init__(self):
        super().__init__()
        self.block = Residual()

    def forward(self, images):
        return self.block(self.block(images).relu()).mean((2, 3))


class Telling(nn.Module):
    """A layer that gives a second value, which the next layer adds."""

    def __init__(self):
        super().__init__()
        self.linear, self.bias = nn.Linear(WIDTH, WIDTH), nn.Parameter(torch.ones(WIDTH))

    def forward(self, states, bias=None):
        told = self.bias.exp() if bias is None else bias
        return states + self.linear(states) * told, told


class Chain(nn.Module):
    """Layers of which the first tells all others something, as T5's does."""

    def __init__(self, classes=3):
        super().__init__()
        self.layers = nn.ModuleList([Telling() for _ in range(3)])
        self.first, self.head = nn.Linear(3 * 64, WIDTH), nn.Linear(WIDTH, classes)

    def forward(self, images):
        states, told = self.first(images.flatten(1)), None
        for layer in self.layers:
            states, told = layer(states, told)
        return self.head(states)


def model_of(*blocks, classes=3):
    """Images of 3 × 8 × 8, the blocks, and a classifier."""
    return nn.Sequential(
        nn.Conv2d(3, WIDTH, 3, padding=1),
        nn.ReLU(),
        *blocks,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.LazyLinear(classes),
    )


def net(classes):
    """Four blocks, one of which halves the images."""
    return model_of(Residual(), Residual(), Residual(stride=2), Residual(), classes=classes)


@pytest.fixture(scope="session")
def residual():
    """Blocks, modules that are none, and models of them."""
    return SimpleNamespace(Residual=Residual, Plain=Plain, Twice=Twice, Chain=Chain, model_of=model_of, net=net)


@pytest.fixture(scope="session")
def images12():
    """What the tiny net reads."""
    return InputSpec(kind="images", size=12)
