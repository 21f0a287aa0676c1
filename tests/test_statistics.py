import random
from math import comb
from statistics import median

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunebench.records import Accuracy
from prunebench.statistics import median_interval, paired_speedup, percentile, wilson

ACCURACIES = st.integers(1, 10**5).flatmap(lambda n: st.builds(Accuracy, st.integers(0, n), st.just(n)))


@given(ACCURACIES)
def test_the_interval_holds_the_accuracy_and_stays_within_0_and_1(accuracy):
    low, high = wilson(accuracy)
    assert 0 <= low <= accuracy.top1 + 1e-12
    assert accuracy.top1 - 1e-12 <= high <= 1
    assert low < high


@given(ACCURACIES)
def test_wrong_samples_mirror_correct_ones(accuracy):
    low, high = wilson(accuracy)
    mirrored = wilson(Accuracy(accuracy.total - accuracy.correct, accuracy.total))
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-9)


@given(ACCURACIES)
def test_more_samples_narrow_the_interval(accuracy):
    low, high = wilson(accuracy)
    low_more, high_more = wilson(Accuracy(4 * accuracy.correct, 4 * accuracy.total))
    assert high_more - low_more < high - low


@pytest.mark.parametrize(
    ("correct", "total", "interval"),
    [(81, 263, (0.2553, 0.3662)), (15, 148, (0.0624, 0.1605)), (0, 20, (0.0, 0.1611)), (1, 29, (0.0061, 0.1718))],
)
def test_the_interval_equals_published_ones(correct, total, interval):
    """Newcombe 1998, Statistics in Medicine 17, table I, method 3."""
    assert wilson(Accuracy(correct, total)) == pytest.approx(interval, abs=5e-5)


VALUES = st.lists(st.floats(0.1, 1e6), min_size=1, max_size=60)


@given(VALUES)
def test_the_median_lies_in_its_interval_which_ends_at_values(values):
    found = median_interval(values)
    assert found.median == median(values)
    assert found.known == (len(values) >= 6)
    if found.known:
        assert found.low <= found.median <= found.high
        assert {found.low, found.high} <= set(values)


@pytest.mark.parametrize("n", [6, 9, 17, 50, 200])
def test_the_interval_is_the_narrowest_that_covers_95_percent(n):
    found = median_interval(range(1, n + 1))
    k = int(found.low)
    assert found.high == n + 1 - k

    def outside(rank):
        return 2 * sum(comb(n, i) for i in range(rank)) / 2**n

    assert outside(k) <= 0.05 < outside(k + 1)


def test_the_interval_of_many_values_continues_that_of_few():
    few, many = (median_interval(range(n)) for n in (1000, 1001))
    assert abs(few.low - many.low) <= 1
    assert abs(few.high - many.high) <= 2


@given(VALUES, st.floats(0.1, 10))
def test_a_speed_up_is_of_pairs_and_knows_no_unit(values, factor):
    assert paired_speedup([factor * value for value in values], values).median == pytest.approx(factor)
    draw = random.Random(0)
    others = [draw.uniform(0.5, 2) for _ in values]
    one = paired_speedup(values, others)
    other = paired_speedup([1000 * value for value in values], [1000 * value for value in others])
    assert one == pytest.approx(other, nan_ok=True)


def test_a_slow_moment_that_hits_both_leaves_the_speed_up_alone():
    assert paired_speedup([4, 400, 4], [2, 200, 2]).median == 2
    with pytest.raises(ValueError, match="zip"):
        paired_speedup([1, 2], [1])


@given(VALUES, st.floats(0, 1))
def test_percentiles_are_numpys(values, share):
    assert percentile(values, share) == pytest.approx(np.percentile(values, 100 * share))
