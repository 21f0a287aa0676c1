"""Blocks: weights of so many outputs by so many inputs go together (Narang et al. 2017, arXiv 1711.02782).

Blocks at the edges of a matrix are smaller, and no block reaches over several places of a kernel.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from prunebench.errors import ConfigError
from prunebench.pruning.granularity import Kind, Pattern, patterns

if TYPE_CHECKING:
    import torch


def read(text: str) -> Pattern | None:
    """`16x16` as a pattern.

    Raises:
        ConfigError: a block has no weight, or a single one.
    """
    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    if found is None:
        return None
    high, wide = map(int, found.groups())
    if high * wide < 2:
        raise ConfigError(f"--pattern {text}: a block has two weights at least, such as 4x1 (outputs x inputs).")

    def blocks(rows: int, columns: int, inputs: int) -> torch.Tensor:
        import torch

        down, place = torch.arange(rows) // high, torch.arange(columns)
        along = -(-inputs // wide) * (place // inputs) + (place % inputs) // wide
        return down[:, None] * (int(along[-1]) + 1) + along

    return Pattern(text, blocks, (high, wide))


patterns.add(
    "blocks", Kind("blocks", "ROWSxCOLUMNS: outputs by inputs go together, such as 16x16 (Narang et al. 2017)", read)
)
