"""Iterative stratification: a subset of samples with several labels in which each label keeps its share."""

from __future__ import annotations

import numpy as np


def stratified_sets(labels: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """Indices, in ascending order, of a fixed subset of `count` samples in which each label keeps its share, as far as
    that can be (Sechidis, Tsoumakas and Vlahavas 2011).

    Labels that are rarest among what is not dealt out come first: each of their samples goes where most of that label
    are wanted, into the subset or not; where equally many are, where most samples are wanted; then as it is drawn. The
    same labels and seed always give the same subset.

    Args:
        labels: bool of shape (samples, classes).
        count: less than the samples.
    """
    draw = np.random.default_rng(seed)
    share = count / len(labels)
    open_ = np.ones(len(labels), bool)
    left = labels.sum(0)
    wanted = np.outer([share, 1 - share], left)  # of each label, in the subset and outside
    room = np.array([count, len(labels) - count])
    chosen = np.zeros(len(labels), bool)
    while left.any():
        label = int(np.where(left > 0, left, len(labels) + 1).argmin())
        for sample in draw.permutation(np.flatnonzero(open_ & labels[:, label])):
            side = _side(wanted[:, label], room, draw)
            chosen[sample] = side == 0
            open_[sample] = False
            wanted[side] -= labels[sample]
            room[side] -= 1
            left = left - labels[sample]
    rest = draw.permutation(np.flatnonzero(open_))  # those without any label
    chosen[rest[: room[0]]] = True
    return np.flatnonzero(chosen)


def _side(wanted: np.ndarray, room: np.ndarray, draw: np.random.Generator) -> int:
    """0 where a sample goes into the subset, 1 where it stays outside."""
    if not room.all():
        return int(room[0] == 0)
    if wanted[0] != wanted[1]:
        return int(wanted[1] > wanted[0])
    return int(room[1] > room[0]) if room[0] != room[1] else int(draw.integers(2))
