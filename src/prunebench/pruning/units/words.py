"""Words: sets of ids as bits of int64, so that all channels of a layer are followed at once.

Of an id each binary digit owns two *lanes*: one is set if the digit is 0, the other if it is 1. A word that several
ids have reached is the union of theirs: where both lanes of a digit are set, at least two ids are in it.
Words of a tensor are int64 of its shape. A dimension along which they do not change has stride 0 and costs nothing.
"""

from __future__ import annotations

import torch

LANES = 62
"""Ids that can be followed one by one in a single sweep."""

FEW = 1 << 20
"""More indices than this along one dimension are not followed."""


def codes(ids: torch.Tensor, count: int) -> torch.Tensor:
    """The word of every id, of `count` ids in all; shape of `ids`. Ids below 0 have an empty word."""
    words = torch.zeros_like(ids)
    for digit in range(digits(count)):
        words |= torch.where(ids < 0, 0, 1 << (2 * digit + (ids >> digit & 1)))
    return words


def decode(words: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The id of every word (−1 where there is none), and where a word has several, of the same shape."""
    ids, unique = torch.zeros_like(words), torch.ones_like(words, dtype=torch.bool)
    for digit in range(digits(count)):
        zero, one = words >> 2 * digit & 1, words >> 2 * digit + 1 & 1
        ids |= one << digit
        unique &= (zero ^ one).bool()
    tainted = words != 0
    return torch.where(tainted & unique, ids, -1), tainted & ~unique


def digits(count: int) -> int:
    """Binary digits of ids below `count`, at least one."""
    return max(1, (count - 1).bit_length())


def compact(words: torch.Tensor) -> torch.Tensor:
    """Words with size 1 along each dimension in which they do not change by their strides."""
    for dim, (size, stride) in enumerate(zip(words.shape, words.stride(), strict=True)):
        if size > 1 and stride == 0:
            words = words.narrow(dim, 0, 1)
    return words


def union(words: list[torch.Tensor], shape: tuple[int, ...]) -> torch.Tensor:
    """What any of several words holds, element by element, broadcast to a shape."""
    total = compact(words[0])
    for other in words[1:]:
        total = total | compact(other)
    return total.expand(shape)


def gathered(words: torch.Tensor, dims: list[int] | None = None) -> torch.Tensor:
    """What any word along the dimensions holds; they stay, with size 1. None means all."""
    words = compact(words)
    for dim in range(words.ndim) if dims is None else dims:
        if words.shape[dim] == 0:
            words = words.new_zeros([1 if d == dim % words.ndim else size for d, size in enumerate(words.shape)])
        while (size := words.shape[dim]) > 1:
            half = size // 2
            folded = words.narrow(dim, 0, half) | words.narrow(dim, half, half)
            words = torch.cat([folded, words.narrow(dim, size - 1, 1)], dim) if size % 2 else folded
    return words


def along(dim: int, ids: torch.Tensor, count: int, shape: tuple[int, ...]) -> torch.Tensor:
    """Words of a tensor whose slice i along a dimension holds the id `ids[i]`."""
    return codes(ids, count).view([-1 if d == dim else 1 for d in range(len(shape))]).expand(shape)
