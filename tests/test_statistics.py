import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunebench.records import Accuracy
from prunebench.statistics import wilson

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
