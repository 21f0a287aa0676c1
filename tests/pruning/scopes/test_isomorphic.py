"""Groups are of the same topology where the same layers are around them, however wide they are."""

from __future__ import annotations

from collections import defaultdict

import pytest
import torch
from torch import nn

from prunebench.models.input_spec import InputSpec
from prunebench.pruning.scopes.isomorphic import topology
from prunebench.pruning.units.removable import find_removable

SIX = InputSpec(kind="images", size=6)


def alike(model, inputs):
    """First layers of groups that are ranked together."""
    found = defaultdict(set)
    for group in find_removable(model, inputs).groups:
        found[topology(group, model)].add(group.name)
    return sorted(map(sorted, found.values()))


@pytest.fixture
def chain():
    """Three convolutions, one of which has no norm, and two linear layers."""
    torch.manual_seed(0)
    parts = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 6, 1), nn.BatchNorm2d(6), nn.ReLU()]
    parts += [nn.Conv2d(6, 5, 3), nn.ReLU(), nn.Conv2d(5, 4, 1), nn.ReLU(), nn.Flatten()]
    return nn.Sequential(*parts, nn.Linear(16, 7), nn.ReLU(), nn.Linear(7, 3)).eval()


def test_widths_and_kernels_may_differ_and_norms_and_readers_not(chain):
    assert alike(chain, SIX) == [["0", "3"], ["11"], ["6"], ["8"]]


def test_of_a_resnet_the_inner_channels_of_all_blocks_compete(fresh):
    state = fresh("resnet18", 32)
    inner = [f"layer{stage}.{block}.conv1" for stage in (1, 2, 3, 4) for block in (0, 1)]
    found = alike(state.model, state.architecture.inputs)
    assert inner in found
    assert ["layer2.0.conv2", "layer3.0.conv2"] in found  # sums that begin with a downsampling, and end with one
    assert len(found) == 4
