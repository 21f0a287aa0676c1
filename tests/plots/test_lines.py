"""A metric is drawn over what is left, with the intervals that statistics says, and controls step for step."""

from __future__ import annotations

from dataclasses import replace
from math import isnan

import numpy as np
import pytest
from matplotlib.collections import PolyCollection

from prunebench.plots.lines import by_samples, controls_of, drawable, line_of
from prunebench.plots.registry import plots
from prunebench.plots.themes import THEMES
from prunebench.results.matrix_files import Results
from prunebench.statistics import mean_interval, wilson


def drawn_lines(picture):
    """The lines with a marker or a dash of their own: (x, y) by what the legend says of them."""
    figure = picture.figure
    (legend,) = figure.legends
    by_look = {}
    for line in figure.axes[0].get_lines():
        by_look.setdefault((line.get_color(), line.get_marker(), line.get_linestyle()), line)
    found = {}
    for handle, text in zip(legend.legend_handles, legend.get_texts(), strict=True):
        look = tuple(getattr(handle, f"get_{of}", str)() for of in ("color", "marker", "linestyle"))
        if look in by_look:
            found[text.get_text()] = by_look[look]
    return found


def test_seeds_are_pooled_with_the_interval_of_the_mean(make_curve):
    group = [make_curve(seed=seed, better=better) for seed, better in ((0, 0.0), (1, 0.02), (2, -0.04))]
    line = line_of(group, "left")
    assert line.x == (1, 0.5, 0.25)
    for at, values in enumerate(zip(*(curve.after for curve in group), strict=True)):
        assert (line.mean[at], line.low[at], line.high[at]) == mean_interval(values)[1:2] + mean_interval(values)[3:]
    assert line_of(group, "left", "before").mean[1] == pytest.approx(0.5 - 0.02 / 3)
    assert all(map(isnan, line_of(group[:1], "left").low))


def test_a_step_that_one_seed_lacks_is_the_mean_of_the_others(make_curve):
    group = [make_curve(seed=0), make_curve(seed=1, better=0.1, left=(1.0, 0.5))]
    line = line_of(group, "left")
    assert line.mean == pytest.approx((0.95, 0.85, 0.6))
    assert isnan(line.low[2])
    assert not isnan(line.low[1])


def test_steps_that_were_not_timed_are_left_out(make_curve):
    curve = make_curve()
    curve = replace(curve, axes={**curve.axes, "latency@1": (1.0, float("nan"), 0.6)})
    assert line_of([curve], "latency@1").x == (1.0, 0.6)
    assert line_of([curve], "latency@1").mean == pytest.approx((0.9, 0.6))


def test_a_band_covers_the_interval_and_the_title_says_how_many_seeds(make_curve, in_style):
    group = tuple(make_curve(seed=seed, better=seed / 100) for seed in range(3))
    (picture,) = plots.get("accuracy").draw(Results(curves=group), "left")
    axes = picture.figure.axes[0]
    assert "net on digits, unstructured, l1, 50 % a step, n = 3 seeds" in picture.figure.get_suptitle()
    line = line_of(list(group), "left")
    bands = [c.get_paths()[0].vertices for c in axes.collections if isinstance(c, PolyCollection)]
    assert len(bands) == 2
    for x, low, high in zip(line.x, line.low, line.high, strict=True):
        at = bands[1][np.isclose(bands[1][:, 0], x)][:, 1]
        assert (at.min(), at.max()) == (pytest.approx(low), pytest.approx(high))
    assert "95 % interval of the mean" in [text.get_text() for text in picture.figure.legends[0].get_texts()]


def test_one_seed_has_no_band_and_no_n(make_curve, in_style):
    (picture,) = plots.get("accuracy").draw(Results(curves=(make_curve(),)), "left")
    assert not picture.figure.axes[0].collections
    assert "n =" not in picture.figure.get_suptitle()


def test_one_run_has_the_band_that_its_test_samples_allow(make_curve, in_style):
    curve = replace(make_curve(), tested=(360, 360, 360))
    line = by_samples(curve, "left")
    assert list(zip(line.low, line.high, strict=True)) == [wilson(mean, 360) for mean in curve.after]
    (picture,) = plots.get("accuracy").draw(Results(curves=(curve,)), "left")
    bands = [c for c in picture.figure.axes[0].collections if isinstance(c, PolyCollection)]
    assert len(bands) == 2
    words = [text.get_text() for text in picture.figure.legends[0].get_texts()]
    assert "95 % interval, by test samples (Wilson)" in words


def test_intervals_wider_than_accuracies_do_not_widen_the_axis(make_curve, in_style):
    group = (make_curve(seed=0), make_curve(seed=1, better=-0.19))
    (picture,) = plots.get("accuracy").draw(Results(curves=group), "left")
    low, high = picture.figure.axes[0].get_ylim()
    assert low >= -0.02
    assert high <= 1.02
    assert line_of(list(group), "left").low[2] < -0.5


def test_where_a_line_turns_back_intervals_are_bars(make_curve, in_style):
    from dataclasses import replace

    group = [make_curve(seed=seed, better=seed / 100) for seed in range(2)]
    group = [replace(curve, axes={**curve.axes, "latency@1": (1.0, 1.2, 0.6)}) for curve in group]
    (picture,) = plots.get("accuracy").draw(Results(curves=tuple(group)), "latency@1")
    axes = picture.figure.axes[0]
    assert not any(isinstance(c, PolyCollection) for c in axes.collections)
    assert len(axes.containers) == 2
    assert axes.get_xlim()[0] > 1.2


def test_accuracy_before_is_dashed_after_solid_over_a_falling_logarithmic_axis(make_curve, in_style):
    curve = make_curve()
    (picture,) = plots.get("accuracy").draw(Results(curves=(curve,)), "left")
    lines = drawn_lines(picture)
    after, before = lines["after fine-tuning"], lines["before fine-tuning"]
    assert (list(after.get_xdata()), list(after.get_ydata())) == ([1, 0.5, 0.25], list(curve.after))
    assert list(before.get_ydata()) == list(curve.before)
    assert (after.get_linestyle(), before.get_linestyle()) == ("-", "--")
    axes = picture.figure.axes[0]
    assert axes.get_xlim()[0] > 1
    assert axes.get_xlim()[1] < 0.25
    assert [label.get_text() for label in axes.get_xticklabels()] == ["100", "50", "25"]
    assert axes.get_xlabel() == "weights left, % of the unpruned model (nominal)"
    assert axes.get_ylabel() == "test accuracy, %"


def test_a_control_is_drawn_dashed_in_grey_by_the_steps_of_its_curve(make_curve, in_style):
    control = make_curve(method="none", criterion="l1", left=(1.0, 1.0, 1.0), better=0.03)
    (picture,) = plots.get("accuracy").draw(Results(curves=(make_curve(), control)), "params")
    line = drawn_lines(picture)["dense, same epochs"]
    assert list(line.get_xdata()) == pytest.approx([1, 0.55, 0.325])
    assert list(line.get_ydata()) == pytest.approx(control.after)
    assert line.get_color() == THEMES["light"].quiet
    assert line.get_linestyle() == "--"


def test_a_control_accompanies_runs_of_the_same_training_alone(make_curve):
    group = [make_curve()]
    for changed in ({"model": "other"}, {"dataset": "x"}, {"epochs": 3}, {"finetune_epochs": 3}):
        assert controls_of([group], [make_curve(method="none", **changed)]) == []
    control = make_curve(method="none", fraction=0.1, criterion="l2")
    assert controls_of([group], [control]) == [([control], group)]


def test_groups_in_which_nothing_was_removed_are_not_drawn(make_curve):
    assert drawable([make_curve(left=(1.0,)), make_curve(method="none", left=(1.0, 1.0))], "left") == []
    assert drawable([make_curve()], "macs") == []
    assert len(drawable([make_curve(), make_curve(seed=1), make_curve(criterion="l2")], "left")) == 2


def test_many_groups_become_several_pictures(make_curve, in_style):
    curves = tuple(make_curve(epochs=epochs) for epochs in range(1, 9))
    pictures = plots.get("accuracy").draw(Results(curves=curves), "left")
    assert [picture.name for picture in pictures] == [
        "accuracy-net-digits-unstructured",
        "accuracy-net-digits-unstructured-2",
    ]
    assert {"epochs=1", "epochs=6"} <= set(drawn_lines(pictures[0]))
