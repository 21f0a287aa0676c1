"""What is gone after each iteration is what the papers say, to the last digit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunebench.pruning.amounts import schedules

IN_TEN = {
    ("cubic", 0.9): {
        **{1: 0.2439, 2: 0.4392, 3: 0.5913, 4: 0.7056, 5: 0.7875, 6: 0.8424, 7: 0.8757, 8: 0.8928, 9: 0.8991, 10: 0.9},
    },
    ("linear", 0.9): {1: 0.09, 5: 0.45, 10: 0.9},
    ("geometric", 0.75): {5: 0.5, 10: 0.75},
    ("cosine", 0.8): {0: 0.0, 5: 0.4, 10: 0.8},
    ("one-shot", 0.9): {1: 0.9, 10: 0.9},
}


@pytest.mark.parametrize(("schedule", "target"), IN_TEN)
def test_what_is_gone_is_as_published(schedule, target):
    gone = schedules.get(schedule).gone
    assert {i: gone(target, i / 10) for i in IN_TEN[schedule, target]} == pytest.approx(IN_TEN[schedule, target])


def test_of_a_start_at_a_fifth_both_published_curves_come_out():
    """From .2 to .8: of what is left at the start, .8, three quarters go."""
    geometric, cubic = (schedules.get(name).gone for name in ("geometric", "cubic"))
    of_left = {i: 0.2 + 0.8 * geometric(0.75, i / 10) for i in (2, 4, 5, 7, 8)}
    assert of_left == pytest.approx({2: 0.3937, 4: 0.5405, 5: 0.6, 7: 0.6969, 8: 0.7361}, abs=5e-5)
    assert [0.2 + cubic(0.6, t) for t in (0.2, 0.5)] == pytest.approx([0.4928, 0.725])


@pytest.mark.parametrize("name", schedules.names())
@given(st.floats(0.01, 0.99), st.lists(st.floats(0, 1), min_size=2, max_size=2))
def test_every_schedule_grows_from_nothing_to_its_target(name, target, times):
    gone = schedules.get(name).gone
    early, late = (gone(target, t) for t in sorted(times))
    assert 0 <= early <= late + 1e-12
    assert late <= target + 1e-12
    assert gone(target, 0) == 0
    assert gone(target, 1) == pytest.approx(target, rel=1e-12)
