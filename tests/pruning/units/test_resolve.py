"""What several ids reach each is joined as if each id had been followed alone."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from prunebench.pruning.units.resolve import resolve


def partition(labels):
    """Sets of positions with the same label; those below 0 are left out."""
    return {frozenset(np.nonzero(labels == label)[0].tolist()) for label in np.unique(labels[labels >= 0])}


def alone(reach):
    """The partition of the columns by following each id alone."""
    labels = np.arange(reach.shape[1])
    for row in reach:
        mine = np.unique(labels[row])
        labels[np.isin(labels, mine)] = mine.min(initial=len(labels))
    labels[~reach.any(0)] = -1
    return partition(labels)


@given(st.integers(1, 200), st.integers(1, 12), st.integers(1, 5), st.integers(0, 2**16))
def test_columns_are_joined_exactly(ids, columns, blocks, seed):
    draw = np.random.default_rng(seed)
    of_ids, of_columns = np.sort(draw.integers(0, blocks, ids)), draw.integers(0, blocks, columns)
    reach = (of_ids[:, None] == of_columns) & (draw.random((ids, columns)) < 0.7)

    def sweep(words):
        found = torch.zeros(columns, dtype=torch.int64)
        for word, row in zip(words, torch.from_numpy(reach), strict=True):
            found |= torch.where(row, word, 0)
        return found

    done = resolve(sweep, ids)
    assert partition(done.columns) == alone(reach)
    for i, label in enumerate(done.ids):
        assert (done.columns[reach[i]] == label).all()
