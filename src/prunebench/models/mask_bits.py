"""Masks as tensors of a file: a bit per weight, eight to a byte, with the shapes as metadata.

NAME → uint8 of ⌈weights / 8⌉ bytes, the first weight being the highest bit of the first byte; the bits past the last
weight are 0. Earlier versions kept a bool tensor, a byte per weight.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec
import numpy as np
import torch

from prunebench.models.masks import Masks

SHAPES = "shapes"
"""Key of the metadata: name → shape, as JSON."""


def packed(masks: Masks) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """The tensors of a file of masks, and its metadata."""
    bits = {name: torch.from_numpy(np.packbits(mask.cpu().contiguous().numpy())) for name, mask in masks.items()}
    shapes = {name: tuple(mask.shape) for name, mask in masks.items()}
    return bits, {SHAPES: msgspec.json.encode(shapes, order="sorted").decode()}


def unpacked(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> dict[str, torch.Tensor]:
    """The masks of such a file, or of one of an earlier version, in memory of their own.

    Raises:
        ValueError: shapes are missing, or do not fit.
    """
    told = metadata.get(SHAPES)
    shapes = {} if told is None else msgspec.json.decode(told, type=dict[str, tuple[int, ...]])
    return {
        name: tensor.clone() if tensor.dtype == torch.bool else _mask(name, tensor, shapes.get(name))
        for name, tensor in tensors.items()
    }


def _mask(name: str, bits: torch.Tensor, shape: tuple[int, ...] | None) -> torch.Tensor:
    count = -1 if shape is None or min(shape, default=0) < 0 else math.prod(shape)
    if shape is None or count < 0 or bits.dtype != torch.uint8 or tuple(bits.shape) != (-(-count // 8),):
        raise ValueError(f"{name} is no mask of shape {shape}")
    return torch.from_numpy(np.unpackbits(bits.numpy(), count=count).view(bool)).reshape(shape)
