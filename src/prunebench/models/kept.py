"""Kept: what units are left, along each dimension of a parameter or buffer, of those that the full model has; of a
model that an earlier version has pruned, of those that it had left.

kept.json   name → dimension → a bit per slice of the full model, set where it is left
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
import torch

from prunebench.errors import RunError
from prunebench.reading import RECORD, read_plain
from prunebench.records import Bits

Along = Mapping[int, torch.Tensor]
"""Dimension → bool, True where the slice is left; nothing of what is whole."""

Kept = Mapping[str, Along]
"""Name of a parameter or buffer → what is left along its dimensions."""

FILE = "kept.json"


def composed(kept: Kept, stays: Kept) -> Kept:
    """What is left of the full model once, of what was `kept` of it, only what `stays` is."""
    found = {name: dict(dims) for name, dims in kept.items()}
    for name, dims in stays.items():
        for dim, mine in dims.items():
            was = found.setdefault(name, {}).get(dim)
            found[name][dim] = mine if was is None else was.masked_scatter(was, mine)
    return found


def save(kept: Kept, folder: Path) -> None:
    """Write it into an existing folder."""
    told = {
        name: {dim: Bits(len(stays), np.packbits(stays.numpy()).tobytes()) for dim, stays in dims.items()}
        for name, dims in kept.items()
    }
    (folder / FILE).write_bytes(msgspec.json.encode(told))


def load(folder: Path) -> Kept:
    """What such a file in a folder holds; nothing where there is none.

    Raises:
        RunError: it is damaged.
    """
    if not (folder / FILE).exists():
        return {}
    try:
        told = msgspec.json.decode(read_plain(folder / FILE, RECORD), type=dict[str, dict[int, Bits]])
        return {name: {dim: _unpacked(bits) for dim, bits in dims.items()} for name, dims in told.items()}
    except (OSError, ValueError) as error:
        raise RunError(f"{folder / FILE} cannot be read: {error}") from error


def _unpacked(bits: Bits) -> torch.Tensor:
    if bits.count < 0 or 8 * len(bits.packed) < bits.count:
        raise ValueError("bits are missing")
    found = np.unpackbits(np.frombuffer(bits.packed, np.uint8), count=bits.count)
    return torch.from_numpy(found.astype(bool))
