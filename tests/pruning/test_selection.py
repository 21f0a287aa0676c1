"""Of some scored weights exactly those go that are lowest, where it is said how many."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prunebench.errors import ConfigError
from prunebench.pruning.granularity import patterns, read_pattern
from prunebench.pruning.matrices import Matrix, one_row
from prunebench.pruning.selection import SMALL, by_pattern, lowest_blocks, lowest_of_rows, lowest_together

GONE = -torch.inf


def matrix_like(scores):
    return Matrix(torch.arange(scores.numel()).view(scores.shape), scores.shape[1])


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=30), st.data())
def test_together_exactly_so_many_of_the_lowest_go(values, data):
    scores, count = torch.tensor(values, dtype=torch.float), data.draw(st.integers(0, len(values)))
    stay = lowest_together(scores, count)
    assert int((~stay).sum()) == count
    assert scores.sort(stable=True).indices[:count].sort().values.tolist() == (~stay).nonzero()[:, 0].tolist()


MANY = SMALL + 3
KINDS = {
    "distinct": lambda draw: draw,
    "in order": lambda draw: draw.sort().values,
    "rounded": lambda draw: draw.mul(1000).round(),
    "few values": lambda draw: draw.sign().relu(),
    "partly gone and held": lambda draw: draw.masked_fill(draw < 0.3, GONE).masked_fill(draw > 2, torch.inf),
    "higher where the sample looks": lambda draw: draw.abs().index_fill(0, torch.arange(0, MANY, 17), 9.0),
}


@pytest.mark.parametrize("share", [0.001, 0.65, 0.999])
@pytest.mark.parametrize("kind", KINDS)
def test_of_many_the_same_go_as_by_a_full_ranking(kind, share):
    scores = KINDS[kind](torch.randn(MANY, generator=torch.Generator().manual_seed(1)))
    count = round(share * MANY)
    gone = torch.zeros(MANY, dtype=torch.bool)
    gone[scores.sort(stable=True).indices[:count]] = True
    assert torch.equal(lowest_together(scores, count), ~gone)


@given(st.integers(1, 6), st.integers(1, 8), st.data())
def test_of_rows_the_same_share_goes_and_the_sum_is_exact(rows, columns, data):
    scores = torch.rand(rows, columns, generator=torch.Generator().manual_seed(data.draw(st.integers(0, 99))))
    scores[torch.rand(rows, columns, generator=torch.Generator().manual_seed(1)) < 0.2] = GONE
    left = (scores > GONE).sum(1)
    going = data.draw(st.integers(0, int(left.sum())))
    stay = lowest_of_rows(scores, matrix_like(scores), going)
    gone = left - stay.sum(1)
    assert int(gone.sum()) == going
    assert (gone - going * left / left.sum().clamp(min=1)).abs().max() <= 1
    assert not (stay & (scores == GONE)).any()
    for row, kept in zip(scores, stay, strict=True):
        assert row[kept].amin() >= row[~kept].amax() if kept.any() and (~kept).any() else True


def test_what_must_stay_of_a_row_stays():
    scores = torch.tensor([[1.0, torch.inf], [2.0, 3.0]])
    assert lowest_of_rows(scores, matrix_like(scores), 4).tolist() == [[False, True], [False, False]]


def test_blocks_go_by_the_mean_of_what_is_left_in_them():
    scores = torch.tensor([[1.0, 9.0, 4.0], [1.0, 1.0, GONE], [5.0, 5.0, 0.5]])
    of = read_pattern("2x2")
    stay = lowest_blocks({"w": scores}, {"w": matrix_like(scores)}, of, 1)["w"]
    assert stay.tolist() == [[True, True, True], [True, True, False], [True, True, False]]
    stay = lowest_blocks({"w": scores}, {"w": matrix_like(scores)}, of, 5)["w"]
    assert stay.tolist() == [[False, False, True], [False, False, False], [True, True, False]]


def test_as_many_blocks_go_as_come_nearest_to_what_is_asked():
    scores = torch.arange(16.0).view(4, 4)
    left = [
        int(lowest_blocks({"w": scores}, {"w": matrix_like(scores)}, read_pattern("row"), n)["w"].sum())
        for n in range(17)
    ]
    assert left == [16] * 3 + [12] * 4 + [8] * 4 + [4] * 4 + [0] * 2


def test_no_block_reaches_over_two_places_of_a_kernel():
    numbers = read_pattern("1x2").blocks(1, 6, 3)
    assert numbers.tolist() == [[0, 0, 1, 2, 2, 3]]
    assert read_pattern("2x2").blocks(3, 4, 4).tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3]]


@given(st.integers(1, 5), st.sampled_from([(1, 2), (2, 4), (4, 8), (1, 4)]), st.integers(0, 99))
def test_of_each_m_side_by_side_n_stay_those_that_score_highest(rows, pair, seed):
    stay_of, of = pair
    scores = torch.rand(rows, 2 * of, generator=torch.Generator().manual_seed(seed))
    stay = by_pattern(scores, matrix_like(scores), read_pattern(f"{stay_of}:{of}")).view(-1, of)
    assert (stay.sum(1) == stay_of).all()
    for group, kept in zip(scores.view(-1, of), stay, strict=True):
        assert group[kept].min() > group[~kept].max()


@pytest.mark.parametrize("text", ["4:4", "0:4", "5:4", "1x1", "0x4", "2:", "2x", "rows", "", "2:4:8", "-1x2"])
def test_what_is_no_pattern_is_refused(text):
    with pytest.raises(ConfigError, match="--pattern"):
        read_pattern(text)


def test_every_kind_reads_what_it_is_called_for():
    assert patterns.names() == ["N:M", "blocks", "row"]
    assert read_pattern("2:4").left == 0.5
    assert not read_pattern("2:4").fits(6)
    assert one_row(torch.zeros(2, 3)).index.tolist() == [[0, 1, 2, 3, 4, 5]]
