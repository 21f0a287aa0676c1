"""Words hold ids: one alone is read back, of several it is known that they are several."""

from __future__ import annotations

import pytest
import torch

from prunebench.pruning.units.words import along, codes, compact, decode, gathered, union


@pytest.mark.parametrize("count", [1, 2, 3, 64, 1000])
def test_an_id_alone_is_read_back_and_two_are_told_to_be_several(count):
    ids = torch.arange(count)
    words = codes(ids, count)
    found, several = decode(words, count)
    assert found.tolist() == ids.tolist()
    assert not several.any()
    both, several = decode(words[:-1] | words[1:], count)
    assert (both == -1).all()
    assert several.all()


def test_ids_below_zero_and_empty_words_are_nothing():
    words = codes(torch.tensor([-1, 1]), 4)
    assert words[0] == 0
    assert decode(words, 4)[0].tolist() == [-1, 1]


@pytest.mark.parametrize("size", [1, 2, 5, 8])
def test_gathered_is_the_union_along_dimensions(size):
    words = torch.randint(0, 1 << 20, (3, size, 2), generator=torch.Generator().manual_seed(0))
    wanted = torch.zeros(3, 1, 2, dtype=torch.int64)
    for i in range(size):
        wanted |= words[:, i : i + 1]
    assert torch.equal(gathered(words, [1]), wanted)
    assert gathered(words).shape == (1, 1, 1)


def test_what_does_not_change_along_a_dimension_is_kept_once():
    words = along(1, torch.arange(4), 4, (2, 4, 5))
    assert compact(words).shape == (1, 4, 1)
    assert union([words, words], (2, 4, 5)).stride() == (0, 1, 0)
