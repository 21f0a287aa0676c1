"""Granularity: which weights of a matrix go together, or compete with each other; the registry of patterns.

A matrix has a row per output and a column per input (`matrices`); of a convolution the columns are those of each place
of the kernel, one after the other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from prunebench.errors import ConfigError
from prunebench.registry import Registry

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Pattern:
    """A pattern as it was asked for, such as `2:4`. Either weights go block by block, or the pattern itself decides.

    Attributes:
        blocks: (rows, columns, inputs) → the number of the block of each weight, int64 of shape (rows, columns);
            `inputs` columns of the same place of a kernel stand side by side. Blocks are ranked by the mean score of
            the weights that are left in them, as single weights are otherwise.
        stays: scores of shape (rows, columns), −inf where a weight has gone → which stay, bool of that shape.
        block: outputs and inputs of such a block where all have one size.
        left: the share that stays where the pattern decides; None: as much as is asked for goes.
        of: where the pattern decides, among how many columns side by side.
        fits: whether it divides so many inputs; a layer that it does not is spared.
    """

    name: str
    blocks: Callable[[int, int, int], torch.Tensor] | None = None
    block: tuple[int, int] | None = None
    stays: Callable[[torch.Tensor], torch.Tensor] | None = None
    left: float | None = None
    of: int = 0
    fits: Callable[[int], bool] = lambda inputs: True


@dataclass(frozen=True)
class Kind:
    """A registered kind of patterns.

    Attributes:
        summary: what goes, and the paper.
        read: the pattern that a text names; None where it names none of this kind.
    """

    name: str
    summary: str
    read: Callable[[str], Pattern | None]


patterns: Registry[Kind] = Registry("pattern", "prunebench.pruning.patterns", None)


@cache
def read_pattern(text: str) -> Pattern:
    """The pattern that a text names.

    Raises:
        ConfigError: there is none.
    """
    for name in patterns.names():
        if (found := patterns.get(name).read(text)) is not None:
            return found
    raise ConfigError(
        f"--pattern {text}: there are N:M such as 2:4, blocks of ROWSxCOLUMNS such as 4x1 or 16x16, and row."
    )
