"""Row: all weights of an output go together, as masks on filters have them (Li et al. 2017, arXiv 1608.08710)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunebench.pruning.granularity import Kind, Pattern, patterns

if TYPE_CHECKING:
    import torch


def read(text: str) -> Pattern | None:
    """`row` as a pattern."""
    return Pattern("row", blocks) if text == "row" else None


def blocks(rows: int, columns: int, inputs: int) -> torch.Tensor:
    """The number of the row, of shape (rows, columns)."""
    import torch

    return torch.arange(rows)[:, None].expand(rows, columns)


patterns.add("row", Kind("row", "all weights of an output go together, masked (Li et al. 2017)", read))
