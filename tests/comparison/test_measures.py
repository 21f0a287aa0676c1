"""Figures of a run: areas and shares left, against definitions by brute force."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunebench.comparison.measures import AFTER, AREA, LEFT, Span, area, left_at_loss, measures, span_of
from prunebench.errors import RunError
from prunebench.records import METRICS
from prunebench.results.curves import Curve

TOP1 = "top1" + AFTER


def curve(after, macs=None, params=None, seed=0, method="structured", metric="top1"):  # noqa: PLR0917
    n = len(after)
    left = tuple(0.9**i for i in range(n))
    return Curve(
        name=f"run-{seed}",
        settings={"model": "tiny", "method": method},
        seed=seed,
        steps=tuple(range(n)),
        before=tuple(after),
        after=tuple(after),
        train_before=tuple(after),
        train_after=tuple(after),
        axes={"left": left, "macs": tuple(macs or left), "params": tuple(params or left)},
        tested=(1000,) * n,
        metric=METRICS[metric],
    )


@st.composite
def curves(draw):
    """Runs of 2 to 7 steps whose shares left never rise, with steps that remove nothing."""
    n = draw(st.integers(2, 7))
    steps = st.lists(st.sampled_from([1.0, 0.9, 0.7, 0.5]), min_size=n - 1, max_size=n - 1)
    shares = np.cumprod([1.0, *draw(steps)]).tolist()
    after = draw(st.lists(st.integers(0, 1000).map(lambda count: count / 1000), min_size=n, max_size=n))
    return curve(after, shares, shares)


@given(curves(), st.floats(0, 1))
def test_the_area_of_a_constant_curve_is_that_constant(run, constant):
    flat = curve([constant] * len(run.steps), run.axes["macs"])
    if span := span_of([flat]):
        assert area(flat, span) == pytest.approx(constant)


@given(curves(), st.floats(0, 0.99))
def test_the_area_is_the_mean_accuracy_over_the_span(run, share):
    lowest = run.axes["macs"][-1]
    down_to = lowest + share * (1 - lowest)
    if down_to < 0.999:
        # between knots the mean is that of the ends; a step that removes nothing has no width
        knots = sorted({down_to, *(x for x in run.axes["macs"] if x > down_to)})
        total = 0.0
        for low, high in pairwise(knots):
            inside = [low + (high - low) * (i + 0.5) / 4 for i in range(4)]
            total += (high - low) * np.mean([between(run, x) for x in inside])
        assert area(run, Span("macs", down_to)) == pytest.approx(total / (1 - down_to))


def between(run, x):
    """Scores at a share left that is no step's."""
    shares = run.axes["macs"]
    i = next(i for i in range(1, len(shares)) if shares[i] < x < shares[i - 1])
    return np.interp(x, [shares[i], shares[i - 1]], [run.after[i], run.after[i - 1]])


@given(curves(), st.sampled_from(["macs", "params"]))
def test_what_is_left_at_a_loss_is_found_by_walking_down_the_curve(run, axis):
    found, fell = left_at_loss(run, axis)
    shares, path = run.axes[axis], np.linspace(0, len(run.steps) - 1, 1000 * (len(run.steps) - 1) + 1)
    places = range(len(run.steps))
    accuracy, left = np.interp(path, places, run.after), np.interp(path, places, shares)
    below = accuracy < run.after[0] - 0.01 - 1e-9
    assert fell == below.any()
    if fell:
        first = int(below.argmax())
        assert left[first] - 1e-6 <= found <= left[first - 1] + 1e-6
    else:
        assert found == shares[-1]


def test_a_loss_of_one_point_to_the_sample_is_not_yet_more():
    assert left_at_loss(curve([0.97, 0.96, 0.96]), "params") == (0.9**2, False)
    assert left_at_loss(curve([0.58, 0.57, 0.56], params=[1, 0.8, 0.6]), "params") == (pytest.approx(0.8), True)


def test_a_run_that_comes_back_has_lost_the_point_all_the_same():
    share, fell = left_at_loss(curve([0.9, 0.85, 0.9]), "params")
    assert fell
    assert share == pytest.approx(0.98)


def test_the_area_ends_where_all_runs_do_and_goes_over_parameters_where_macs_stay():
    long, short = curve([0.9] * 5), curve([0.9] * 3, seed=1)
    assert span_of([long, short]) == ("macs", pytest.approx(0.81))
    masked = curve([0.9] * 4, macs=[1.0] * 4, seed=2)
    assert span_of([long, masked]) == ("params", pytest.approx(0.729))
    assert span_of([long, curve([0.9] * 4, macs=[1.0] * 4, params=[1.0] * 4, method="none")]) is None


def test_masks_have_no_macs_left_and_a_control_has_accuracies_alone():
    masked = [curve([0.9, 0.8], macs=[1.0, 1.0])]
    assert [found.name for found in measures(masked, span_of(masked))] == [TOP1, TOP1, AREA["params"], LEFT["params"]]
    control = [curve([0.9, 0.8], macs=[1.0, 1.0], params=[1.0, 1.0], method="none")]
    assert [found.name for found in measures(control, span_of(control))] == [TOP1, TOP1]


def test_a_step_has_the_seeds_that_got_there():
    group = [curve([0.9, 0.8, 0.7]), curve([0.9, 0.6], seed=1)]
    assert [dict(found.values) for found in measures(group, None)[:3]] == [
        {0: 0.9, 1: 0.9},
        {0: 0.8, 1: 0.6},
        {0: 0.7},
    ]
    assert [found.samples for found in measures(group, None)[:3]] == [1000] * 3


def test_of_a_metric_that_is_no_share_there_are_its_figures_alone_and_less_is_better():
    group = [curve([0.2, 0.3], metric="loss"), curve([0.2, 0.4], metric="loss", seed=1)]
    found = measures(group, span_of(group))
    assert [(of.name, of.step, dict(of.values)) for of in found] == [
        ("loss" + AFTER, 0, {0: 0.2, 1: 0.2}),
        ("loss" + AFTER, 1, {0: 0.3, 1: 0.4}),
    ]
    assert all(of.of_step and of.samples == 1000 and not of.higher_is_better for of in found)
    shares = measures([curve([0.9, 0.8], metric="top5")], span_of(group))
    assert {of.name: of.higher_is_better for of in shares} == {
        **{"top5" + AFTER: True, AREA["macs"]: True},
        **dict.fromkeys(LEFT.values(), False),
    }


def test_two_runs_of_one_seed_are_told_and_not_mixed():
    one, other = curve([0.9, 0.8]), curve([0.9, 0.7])
    with pytest.raises(RunError, match="run-0 and changed have the same settings and seed 0"):
        measures([one, replace(other, name="changed")], None)
    with pytest.raises(RunError, match="Run run-0 is there twice: name its folder"):
        measures([one, other], None)
