"""Cache: images that took work to read (decoding, resizing) are kept as bytes once they were read, where they fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import ceil
from typing import Literal, Protocol

import torch

from prunebench.errors import ConfigError
from prunebench.models.memory import free_bytes

When = Literal["auto", "on", "off"]

SHARE = 0.25
"""Of the memory that is free, so much may be taken unless more was asked for."""


class Source(Protocol):
    """Images of one size, `shape` (C, H, W), uint8; reading one of them `costs` more than a look into memory."""

    shape: tuple[int, int, int]
    costs: bool

    def __len__(self) -> int:
        """How many there are."""

    def read(self, chunks: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
        """Those of each chunk of indices, uint8 of shape (chunk, C, H, W)."""


class Cache:
    """A source whose images are kept when they are read for the first time.

    Args:
        source: what is read.
        spares: whether to keep no more of them once what is still to come is more than its share of what is then free,
            as where other processes keep theirs.
    """

    costs = False

    def __init__(self, source: Source, *, spares: bool) -> None:
        self._source, self._spares = source, spares
        self.shape = source.shape
        self._kept: torch.Tensor | None = None
        self._there = torch.zeros(len(source), dtype=torch.bool)

    def __len__(self) -> int:
        return len(self._source)

    def read(self, chunks: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
        """As the source reads them, to the bit."""
        if self._kept is None:
            with torch.inference_mode(mode=False):  # what an evaluation reads first, a training writes to
                self._kept = torch.empty((len(self), *self.shape), dtype=torch.uint8)
        absent = [~self._there[chunk] for chunk in chunks]
        fresh = self._source.read([chunk[new] for chunk, new in zip(chunks, absent, strict=True) if new.any()])
        for chunk, new in zip(chunks, absent, strict=True):
            if not new.any():
                yield self._kept[chunk]
                continue
            pixels = next(fresh)
            if self._has_room():
                self._kept[chunk[new]], self._there[chunk[new]] = pixels, True
            if not new.all():
                images = self._kept[chunk]
                images[new] = pixels
                pixels = images
            yield pixels

    def _has_room(self) -> bool:
        return not self._spares or _fits(int((~self._there).sum()) * _each(self._source), SHARE)


def cached(sources: Mapping[str, Source], when: When) -> tuple[dict[str, Source], str]:
    """Sources that keep what they read, as far as that costs anything and memory is there; and what is said of it.

    Args:
        sources: part of the data → its images.
        when: "auto" where they take up to SHARE of what is free; "on" where they fit at all; "off" never.

    Raises:
        ConfigError: "on" was asked for, and they do not fit.
    """
    slow = {part: source for part, source in sources.items() if source.costs and len(source)}
    size = sum(len(source) * _each(source) for source in slow.values())
    if when == "off" or not slow or (when == "auto" and not _fits(size, SHARE)):
        return dict(sources), ""
    count = sum(map(len, slow.values()))
    if not _fits(size, 1.0, unknown=True):
        free = free_bytes(torch.device("cpu")) or 0
        raise ConfigError(
            f"--cache on: {count:,} images take {_megabytes(size)} as the model reads them, and {_megabytes(free)} of "
            f"memory are free. Leave it out, or give a smaller --image-size."
        )
    kept = {part: Cache(source, spares=when == "auto") for part, source in slow.items()}
    return {**sources, **kept}, f"{count:,} images are kept in memory once they are read, {_megabytes(size)} (--cache)"


def _each(source: Source) -> int:
    """Bytes of an image."""
    channels, height, width = source.shape
    return channels * height * width


def _fits(size: int, share: float, *, unknown: bool = False) -> bool:
    """Whether so many bytes are at most a share of those that are free; `unknown` where that is not known."""
    free = free_bytes(torch.device("cpu"))
    return unknown if free is None else size <= share * free


def _megabytes(size: int) -> str:
    return f"{ceil(size / 1e6):,} MB"
