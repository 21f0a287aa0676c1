"""A small network and other weights that fit it."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture
def net(tiny_net):
    """A small CNN, always with the same fresh weights."""
    torch.manual_seed(0)
    return tiny_net(3)


@pytest.fixture
def state(tiny_net):
    """Other weights of the small CNN."""
    torch.manual_seed(1)
    return tiny_net(3).state_dict()
