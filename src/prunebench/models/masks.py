"""Masks: which weights of a model are left."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

Masks = Mapping[str, "torch.Tensor"]
"""Parameter name → bool tensor of its shape, True where the weight is left. No entry: nothing is pruned.

A parameter that stands in a model under several names goes by the first (see `sharing`).
"""
