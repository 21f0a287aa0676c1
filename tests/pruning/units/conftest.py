"""Small models as people write them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn


class Written(nn.Module):
    """A model of parts and a function of them and the input."""

    def __init__(self, function, **parts):
        super().__init__()
        self.function = function
        for name, part in parts.items():
            if isinstance(part, torch.Tensor) and not isinstance(part, nn.Parameter):
                self.register_buffer(name, part)
            else:
                setattr(self, name, part)

    def forward(self, x):
        return self.function(self, x)


@pytest.fixture
def written() -> Callable[..., nn.Module]:
    """Build a model of parts and a function of them and the input."""
    return Written


@pytest.fixture
def images() -> torch.Tensor:
    """One image of 3×8×8."""
    return torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
