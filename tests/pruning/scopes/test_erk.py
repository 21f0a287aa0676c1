"""ERK's shares are those of the formula, and sum up to what is asked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunebench.pruning.scopes.erk import erk
from prunebench.pruning.shares import whole


def share_gone(shapes, going):
    left = {name: size(shape) for name, shape in shapes.items()}
    return {name: gone / left[name] for name, gone in erk(shapes, left, going).items()}


def size(shape):
    count = 1
    for dim in shape:
        count *= dim
    return count


@pytest.mark.parametrize(
    ("going", "told"),
    [
        (37, {"a": 0, "b": 0.309524, "c": 0.654762}),
        (59.2, {"a": 0.588889, "b": 0.725926, "c": 0.862963}),
    ],
)
def test_shares_are_those_of_small_published_examples(going, told):
    shapes = {"a": (2, 4), "b": (3, 6), "c": (2, 4, 6)}
    found = share_gone(shapes, round(going))
    for name, share in told.items():
        assert abs(found[name] - share) * size(shapes[name]) <= 1  # in whole weights


def test_dimensions_decide_also_where_they_are_those_of_kernels():
    found = share_gone({"a": (64, 3, 3, 3), "b": (64, 64, 3, 3)}, 36_000)
    left = 1728 + 36_864 - 36_000
    assert found == pytest.approx(
        {"a": 1 - left * 73 / (73 + 134) / 1728, "b": 1 - left * 134 / 207 / 36_864}, abs=1e-3
    )


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=5), st.data())
def test_what_goes_sums_up_exactly_and_no_layer_loses_what_it_has_not(shapes, data):
    named = {str(i): shape for i, shape in enumerate(shapes)}
    left = {name: data.draw(st.integers(0, size(shape))) for name, shape in named.items()}
    going = data.draw(st.integers(0, sum(left.values())))
    found = erk(named, left, going)
    assert sum(found.values()) == going
    assert all(0 <= gone <= left[name] for name, gone in found.items())


def test_whole_numbers_are_nearest_with_the_same_sum():
    assert whole({"a": 1.2, "b": 2.5, "c": 0.3}) == {"a": 1, "b": 3, "c": 0}
    assert whole({"a": 0.5, "b": 0.5, "c": 2.0}) == {"a": 1, "b": 0, "c": 2}
