import random
from math import comb, isnan, nan, sqrt
from statistics import median

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import binomtest, norm

from prunebench.records import METRICS
from prunebench.statistics import (
    MOST_SEEDS,
    Z95,
    holm,
    interval_of,
    mcnemar,
    mean_difference,
    mean_interval,
    median_interval,
    paired_change,
    paired_speedup,
    percentile,
    power,
    seeds_needed,
    wilson,
)

COUNTS = st.integers(1, 10**5).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
"""Correct samples, and samples."""


@given(COUNTS)
def test_the_interval_holds_the_accuracy_and_stays_within_0_and_1(counts):
    correct, total = counts
    low, high = wilson(correct / total, total)
    assert 0 <= low <= correct / total + 1e-12
    assert correct / total - 1e-12 <= high <= 1
    assert low < high


@given(COUNTS)
def test_wrong_samples_mirror_correct_ones(counts):
    correct, total = counts
    low, high = wilson(correct / total, total)
    assert wilson((total - correct) / total, total) == pytest.approx((1 - high, 1 - low), abs=1e-9)


@given(COUNTS)
def test_more_samples_narrow_the_interval(counts):
    correct, total = counts
    low, high = wilson(correct / total, total)
    low_more, high_more = wilson(correct / total, 4 * total)
    assert high_more - low_more < high - low


@pytest.mark.parametrize(
    ("correct", "total", "interval"),
    [(81, 263, (0.2553, 0.3662)), (15, 148, (0.0624, 0.1605)), (0, 20, (0.0, 0.1611)), (1, 29, (0.0061, 0.1718))],
)
def test_the_interval_equals_published_ones(correct, total, interval):
    """Newcombe 1998, Statistics in Medicine 17, table I, method 3."""
    assert wilson(correct / total, total) == pytest.approx(interval, abs=5e-5)


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


def test_a_mean_of_shares_has_the_interval_of_as_many_correct_samples():
    assert wilson(0.9, 200) == wilson(180 / 200, 200)
    low, high = wilson(0.9013, 200)
    assert wilson(180 / 200, 200)[0] < low < wilson(181 / 200, 200)[0]
    assert wilson(180 / 200, 200)[1] < high < wilson(181 / 200, 200)[1]


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
def test_a_metric_has_the_interval_that_the_number_of_samples_allows(metric):
    counted = metric.unit == "share" and metric.name not in ("f1", "lrap")  # which are no share of the samples
    assert interval_of(metric.name, 0.75, 40) == (wilson(0.75, 40) if counted else None)


SHARES = st.lists(st.integers(0, 1000).map(lambda n: n / 1000), min_size=2, max_size=20)
SPREAD = SHARES.filter(lambda values: len(set(values)) > 1)


@given(SPREAD)
def test_the_interval_of_a_mean_and_its_p_value_are_scipys(values):
    from scipy import stats

    found, (same, p) = mean_interval(values), mean_difference(values)
    expected = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
    assert found == same
    assert (found.low, found.high) == pytest.approx(expected, abs=1e-12)
    assert (found.n, found.mean, found.sd) == pytest.approx((len(values), np.mean(values), np.std(values, ddof=1)))
    assert p == pytest.approx(stats.ttest_1samp(values, 0).pvalue, abs=1e-12)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_the_interval_of_a_mean_covers_it_95_times_in_100(n):
    draws = np.random.default_rng(n).normal(0.9, 0.02, (4000, n)).tolist()
    intervals = [mean_interval(values) for values in draws]
    covered = sum(found.low <= 0.9 <= found.high for found in intervals) / len(intervals)
    assert covered == pytest.approx(0.95, abs=3.5 * (0.95 * 0.05 / 4000) ** 0.5)


def test_one_value_has_a_mean_and_nothing_else():
    found, p = mean_difference([0.25])
    assert (found.n, found.mean) == (1, 0.25)
    assert all(map(isnan, (found.sd, found.low, found.high, p)))
    assert seeds_needed([0.25]) is None


def test_intervals_of_several_tests_hold_together():
    """All null: of ten intervals one or more misses zero in one of twenty repetitions at most."""
    draw = np.random.default_rng(0)
    missed = sum(
        any(not found.low <= 0 <= found.high for found in (mean_interval(values, 10) for values in draws))
        for draws in draw.normal(0, 1, (1000, 10, 5)).tolist()
    )
    assert 0.02 < missed / 1000 <= 0.065
    values = [0.1, 0.3, 0.2]
    assert mean_interval(values, 1) == mean_interval(values)
    assert mean_difference(values, 10)[1] == mean_difference(values)[1]  # p is of one alone
    assert mean_difference(values, 10)[0].low < mean_difference(values)[0].low
    assert isnan(mean_difference([0.1] * 6, 10)[0].low)  # of order statistics there are too few


@pytest.mark.parametrize(
    ("ratio", "seeds"),
    [(0.2, 199), (0.3, 90), (0.4, 52), (0.5, 34), (0.6, 24), (0.7, 19), (0.8, 15), (0.9, 12), (1.0, 10), (1.5, 6)],
)
def test_seeds_needed_are_those_of_published_tables_for_a_power_of_80_percent(ratio, seeds):
    """Two-sided paired t test at 5 %, as in the tables of Cohen (1988) and G*Power."""
    values = [ratio - sqrt(0.5), ratio + sqrt(0.5)]  # of deviation 1
    assert mean_interval(values)[1:3] == pytest.approx((ratio, 1))
    assert seeds_needed(values) == seeds_needed([-value for value in values]) == seeds


@pytest.mark.parametrize("ratio", [0.5, 1.0, 2.0])
def test_with_so_many_seeds_four_of_five_repetitions_tell_and_with_one_less_fewer(ratio):
    needed = seeds_needed([ratio - sqrt(0.5), ratio + sqrt(0.5)])
    draw = np.random.default_rng(0)
    for n, enough in ((needed, True), (needed - 1, False)):
        told = sum(mean_interval(values).low > 0 for values in draw.normal(ratio, 1, (4000, n)).tolist()) / 4000
        assert told == pytest.approx(power(ratio, n), abs=3.5 * (0.8 * 0.2 / 4000) ** 0.5)
        assert (power(ratio, n) >= 0.8) is enough


@given(SPREAD)
def test_more_seeds_are_needed_where_zero_is_inside(values):
    found, needed = mean_interval(values), seeds_needed(values)
    if found.mean != 0 and found.low <= 0 <= found.high:
        assert needed > len(values)


def test_seeds_needed_is_none_without_a_difference_and_ends_somewhere():
    assert seeds_needed([-0.25, 0.25]) is None
    assert seeds_needed([0.0, 0.0, 0.0]) is None
    assert seeds_needed([1.0, -0.9999, 1.0, -0.9999]) == MOST_SEEDS + 1


def test_equal_differences_are_not_sure_of_anything_before_six():
    for n in range(2, 6):
        found, p = mean_difference([0.01] * n)
        assert isnan(found.low)
        assert isnan(found.high)
        assert p == 2 / 2**n > 0.05
        assert seeds_needed([0.01] * n) == 6
    found, p = mean_difference([0.01] * 6)
    assert (found.low, found.high, p) == (0.01, 0.01, 2 / 2**6)
    assert mean_difference([0.0] * 6)[1] == 1


@given(st.lists(st.floats(0, 1) | st.just(nan), max_size=12))
def test_corrected_p_values_are_larger_keep_their_order_and_leave_out_nan(ps):
    found = holm(ps)
    counted = [(p, q) for p, q in zip(ps, found, strict=True) if not isnan(p)]
    assert [isnan(q) for q in found] == [isnan(p) for p in ps]
    assert all(p <= q <= min(1, len(counted) * p) for p, q in counted)
    assert [q for _, q in sorted(counted)] == sorted(q for _, q in counted)
    if counted:
        assert min(q for _, q in counted) == min(1, len(counted) * min(p for p, _ in counted))


def test_corrected_p_values_equal_a_worked_example():
    assert holm([0.01, 0.04, nan, 0.03, 0.005]) == pytest.approx([0.03, 0.06, nan, 0.06, 0.02], nan_ok=True)


@pytest.mark.parametrize(("lost", "gained", "p"), [(1, 7, 0.0703125), (7, 1, 0.0703125), (0, 0, 1), (3, 3, 1)])
def test_paired_answers_are_tested_exactly(lost, gained, p):
    assert mcnemar(lost, gained) == p  # 1 and 7: Fagerland, Lydersen and Laake 2014, airways


@pytest.mark.parametrize(("lost", "gained"), [(0, 9), (40, 25), (700, 612)])
def test_the_exact_test_is_that_of_a_fair_coin(lost, gained):
    assert mcnemar(lost, gained) == pytest.approx(binomtest(lost, lost + gained).pvalue, rel=1e-9)


def test_the_interval_of_a_paired_change_is_as_published():
    low, high = paired_change(7, 1, 21)  # Fagerland, Lydersen and Laake 2014: Tango −0.517 to −0.026
    assert (low, high) == (pytest.approx(-0.517, abs=5e-4), pytest.approx(-0.026, abs=5e-4))


@pytest.mark.parametrize("counts", [(7, 1, 21), (0, 0, 36), (25, 0, 36), (0, 3, 50), (12, 9, 1000), (5, 5, 10)])
@pytest.mark.parametrize("tests", [1, 10])
def test_an_end_of_a_paired_change_is_where_the_score_test_turns(counts, tests):
    lost, gained, n = counts
    z = norm.ppf(1 - 0.025 / tests)
    for end, side in zip(paired_change(*counts, tests), (-1, 1), strict=True):

        def unlikely(share, change=end):  # of lost answers; those gained are `change` more
            terms = (lost, share), (gained, share + change), (n - lost - gained, 1 - 2 * share - change)
            return -sum(count * np.log(max(p, 1e-300)) for count, p in terms if count)

        bounds = max(0, -end), (1 - end) / 2
        share = minimize_scalar(unlikely, bounds=bounds, method="bounded", options={"xatol": 1e-12}).x
        variance = (2 * share + end - end**2) / n
        assert (end - (gained - lost) / n) / np.sqrt(variance) == pytest.approx(side * z, rel=1e-3)
    low, high = paired_change(gained, lost, n, tests)
    assert (-high, -low) == pytest.approx(paired_change(lost, gained, n, tests))


def test_where_nothing_changed_a_paired_change_has_a_width():
    assert paired_change(0, 0, 36) == pytest.approx((-(Z95**2) / (36 + Z95**2), Z95**2 / (36 + Z95**2)))
