"""The front holds what nothing else is both faster and better than; times are milliseconds."""

from __future__ import annotations

import dataclasses

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from prunebench.plots.figures.pareto import Point, front, points
from prunebench.plots.registry import plots
from prunebench.records import METRICS
from prunebench.results.curves import milliseconds
from prunebench.results.matrix_files import Results

POINTS = st.lists(
    st.builds(lambda ms, mean: Point(float(ms), mean / 10, 0.0, 1.0), st.integers(1, 9), st.integers(0, 10)), min_size=1
)


@given(POINTS, st.booleans())
def test_a_point_is_on_the_front_unless_another_is_as_fast_and_better_or_faster_and_as_good(found, higher_is_better):
    best = front(found, higher_is_better)

    def as_good(one, other):
        return one.mean >= other.mean if higher_is_better else one.mean <= other.mean

    for point in found:
        beaten = any(other.ms <= point.ms and as_good(other, point) and other[:2] != point[:2] for other in found)
        assert (point in best) == (not beaten)
    assert len(set(best)) == len(best)


def test_every_step_is_drawn_by_its_milliseconds_with_the_front(make_curve, in_style):
    group = [make_curve(seed=seed, better=seed / 100, timed=True) for seed in range(2)]
    (picture,) = plots.get("pareto").draw(Results(curves=tuple(group)), "left")
    assert picture.name == "pareto-digits-latency-1"
    axes = picture.figure.axes[0]
    assert axes.get_xlabel() == (
        "milliseconds per batch of 1 (the unpruned model's × the share measured beside it), cpu, 1 thread"
    )
    steps, best = (line for line in axes.get_lines() if len(line.get_xdata()) == 3 and line.get_linestyle() != "None")
    np.testing.assert_allclose(steps.get_xdata(), [8, 4, 2])
    np.testing.assert_allclose(steps.get_ydata(), [0.905, 0.805, 0.605])
    np.testing.assert_allclose(best.get_xdata(), [2, 4, 8])
    (first, *_) = points(group, "latency@1", milliseconds(group, "latency@1"))
    assert first.low < 0.905 < first.high


def test_the_front_of_a_metric_that_is_better_when_lower_holds_the_lowest(make_curve, in_style):
    losses = (0.3, 0.5, 0.4)  # at 8, 4 and 2 ms: the second is both slower and worse than the third
    curve = dataclasses.replace(make_curve(timed=True), after=losses, metric=METRICS["loss"])
    other = dataclasses.replace(make_curve(timed=True, criterion="l2"), after=(0.3, 0.6, 0.7), metric=METRICS["loss"])
    (picture,) = plots.get("pareto").draw(Results(curves=(curve, other)), "left")
    assert picture.figure.axes[0].get_ylabel() == "test cross-entropy, nats"
    assert picture.figure.get_suptitle().startswith("cross-entropy against latency on digits")
    (best,) = (line for line in picture.figure.axes[0].get_lines() if line.get_drawstyle() == "steps-post")
    np.testing.assert_allclose(best.get_xdata(), [2, 8])
    np.testing.assert_allclose(best.get_ydata(), [0.4, 0.3])


def test_a_machine_that_was_slower_at_another_time_moves_no_point(make_curve, in_style):
    one = make_curve(timed=True)
    other = make_curve(timed=True, criterion="random")
    slower = [
        replace(t, latencies=tuple(replace(x, samples_ms=(10 * x.samples_ms[0],)) for x in t.latencies))
        for t in other.timings["eager"]
    ]
    other = dataclasses.replace(other, timings={"eager": tuple(slower)})
    (picture,) = plots.get("pareto").draw(Results(curves=(one, other)), "left")
    first, second = (line.get_xdata() for line in picture.figure.axes[0].get_lines()[:2])
    np.testing.assert_array_equal(first, second)


def test_the_axis_names_the_batch_size(make_curve, in_style):
    results = Results(curves=(make_curve(timed=True),))
    (picture,) = plots.get("pareto").draw(results, "latency@4")
    assert picture.name == "pareto-digits-latency-4"
    assert "batch of 4" in picture.figure.axes[0].get_xlabel()
    assert list(picture.figure.axes[0].get_lines()[0].get_xdata()) == [32, 16, 8]
    assert plots.get("pareto").draw(results, "latency@2") == []


def test_of_many_groups_what_is_beaten_is_faint_and_each_line_has_its_number(make_curve, in_style):
    names = ["l1", "l2", "random", "lamp", "taylor", "fisher", "wanda", "obd"]
    curves = tuple(make_curve(timed=True, criterion=name, better=-i / 100) for i, name in enumerate(names))
    (picture,) = plots.get("pareto").draw(Results(curves=curves), "left")
    (axes,), (legend,) = picture.figure.axes, picture.figure.legends
    words = [text.get_text() for text in legend.get_texts()]
    assert words[:2] == ["1: fisher", "2: l1"]
    assert sorted(text.get_text() for text in axes.texts) == sorted(map(str, range(1, 9)))
    places = [text.get_position() for text in axes.texts]
    assert len({(round(x, 3), round(y, 3)) for x, y in places}) == 8
    faint = [line for line in axes.get_lines() if line.get_linestyle() == "-" and len(line.get_xdata()) == 3]
    assert {line.get_alpha() for line in faint} == {0.3}
    shown = [line for line in axes.get_lines() if line.get_linestyle() == "None" and line.get_markersize() == 7]
    assert sorted(len(line.get_xdata()) for line in shown) == [0] * 7 + [3]
