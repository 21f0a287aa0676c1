"""Ticks are round, few, and within what is drawn."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from prunebench.plots import scales
from prunebench.plots.style import canvas


def test_shares_are_halved_from_100_percent():
    ticks = scales.share_ticks(0.015625, 1)
    assert [scales.percent(tick) for tick in ticks] == ["100", "50", "25", "12.5", "6.25", "3.125", "1.56"]


def test_of_a_small_part_of_the_axis_ticks_are_round_percentages():
    assert [scales.percent(tick) for tick in scales.share_ticks(0.3487, 1)] == [
        *("40", "50", "60", "70", "80", "90", "100"),
    ]


@given(low=st.floats(1e-5, 0.99), high=st.floats(1, 1.5))
def test_there_are_some_ticks_and_not_too_many_and_100_percent_is_one(low, high):
    ticks = scales.share_ticks(low, high)
    assert 1 <= len(ticks) <= scales.MOST_TICKS + 2
    assert any(abs(tick - 1) < 1e-9 for tick in ticks)
    assert len({scales.percent(tick) for tick in ticks}) == len(ticks)
    assert min(ticks) >= low * 0.97
    assert max(ticks) <= high * 1.03


@given(low=st.floats(1e-3, 1e4), ratio=st.floats(1, 1e6))
def test_quantities_have_ticks_within_what_is_drawn(low, ratio):
    _, axes = canvas("title", "x", "y")
    scales.quantity_axis(axes, "y", [low, low * ratio, float("nan")])
    below, above = axes.get_ylim()
    assert below < low
    assert low * ratio < above
    assert axes.get_yscale() == "log"
    assert all(below <= tick <= above for tick in axes.get_yticks())
    if ratio > 1.3:
        assert 2 <= len(axes.get_yticks()) <= 14


def test_shades_have_round_percentages_and_few():
    named = [[scales.percent(tick) for tick in scales.shade_ticks(low, 1)] for low in (0.3, 0.04, 0.00045)]
    assert named == [
        ["30", "40", "50", "60", "70", "80", "90", "100"],
        ["5", "10", "20", "50", "100"],
        ["0.1", "1", "10", "100"],
    ]


def test_batch_sizes_have_a_tick_each():
    _, axes = canvas("title", "x", "y")
    scales.size_axis(axes, [256, 1, 16, 1])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "16", "256"]


def test_nothing_left_has_no_place_on_a_logarithmic_axis(in_style):
    _, axes = canvas("title", "x", "y")
    scales.share_axis(axes, [1.0, 0.5, 0.0])
    left, right = axes.get_xlim()
    assert 0 < right < 0.5
    assert left > 1
