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
    singles = np.sort(np.random.default_rng(0).permutation(count)[:LANES]).tolist()
    todo = [(i, i + 1) for i in singles]
    rest = np.array_split(np.arange(count), LANES) if count > LANES else []
    blocks = [(int(block[0]), int(block[-1]) + 1) for block in rest]
    owner = np.full(count, -1)  # a column that the id reaches
    labels, touched = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=bool)
    while todo:
        words = torch.zeros(count, dtype=torch.int64)
        for lane, (first, last) in enumerate(todo):
            words[first:last] |= 1 << lane
        found = sweep(words).numpy()
        if not len(labels):
            labels, touched = np.arange(len(found)), np.zeros(len(found), dtype=bool)
        touched |= found != 0
        sure = np.zeros_like(found)
        for lane, (first, last) in enumerate(todo):
            mine = (found >> lane & 1).astype(bool)
            if last - first > 1 and len(np.unique(labels[mine])) > 1:
                middle = (first + last) // 2
                blocks += [(first, middle), (middle, last)]
            elif mine.any():
                sure |= found & (1 << lane)
                owner[first:last] = np.argmax(mine)
        labels = _joined(labels, sure)
        todo, blocks = blocks[:LANES], blocks[LANES:]
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
    joined: np.ndarray = components(pairs, n + m + LANES)[labels]
    return joined
