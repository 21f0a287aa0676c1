"""Resolving: which columns hang together by ids that reach several of them each, as attention heads do.

Single ids are followed first, drawn at random; then blocks of neighbouring ids, halved until all that a block reaches
hangs together. Joining too much would be safe, joining too little would not: it never does that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from prunebench.pruning.units.nodes import components
from prunebench.pruning.units.words import LANES

Sweep = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Resolved:
    """Labels of the columns and of the ids; −1 is what nothing reached, or what reached nothing."""

    columns: np.ndarray
    ids: np.ndarray


def resolve(sweep: Sweep, count: int) -> Resolved:
    """Join columns that any id reaches together.

    Args:
        sweep: from a word per id (count,) to a word per column (columns,).
        count: how many ids there are.
    """
    draw = np.random.default_rng(0)
    singles = np.sort(draw.permutation(count)[:LANES])
    labels: np.ndarray | None = None
    touched: np.ndarray | None = None
    owner = np.full(count, -1)  # a column that the id reaches
    blocks = [(int(i), int(i) + 1) for i in singles]
    rest = [(int(b[0]), int(b[-1]) + 1) for b in np.array_split(np.arange(count), min(count, LANES))]
    if count > LANES:
        rest = [part for block in rest for part in [block]]
    else:
        rest = []
    while blocks or rest:
        if not blocks:
            blocks, rest = rest[:LANES], rest[LANES:]
        words = torch.zeros(count, dtype=torch.int64)
        for lane, (first, last) in enumerate(blocks):
            words[first:last] |= 1 << lane
        found = sweep(words).numpy()
        if labels is None or touched is None:
            labels, touched = np.arange(len(found)), np.zeros(len(found), dtype=bool)
        touched |= found != 0
        again = []
        sure = np.zeros_like(found)
        for lane, (first, last) in enumerate(blocks):
            reached = np.unique(labels[(found >> lane & 1).astype(bool)])
            if last - first > 1 and len(reached) > 1:
                middle = (first + last) // 2
                again += [(first, middle), (middle, last)]
            else:
                sure |= found & (1 << lane)
                column = np.argmax((found >> lane & 1).astype(bool))
                owner[first:last] = column if len(reached) else -1
        labels = _joined(labels, sure)
        rest = again + rest
        blocks = []
    assert labels is not None
    assert touched is not None
    return Resolved(np.where(touched, labels, -1), np.where(owner < 0, -1, labels[owner]))


def _joined(labels: np.ndarray, words: np.ndarray) -> np.ndarray:
    """New labels, where all columns that share a lane have the same one."""
    kinds, inverse = np.unique(words, return_inverse=True)
    n, m = len(labels), len(kinds)
    left, right = [labels[words != 0]], [n + inverse[words != 0]]
    for lane in range(LANES):
        having = np.nonzero(kinds >> lane & 1)[0]
        left.append(n + having)
        right.append(np.full(len(having), n + m + lane))
    pairs = torch.from_numpy(np.stack([np.concatenate(left), np.concatenate(right)]).astype(np.int64))
    return components(pairs, n + m + LANES)[labels]
