"""Parameters and latencies are drawn as they were counted and measured."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from prunebench.plots.registry import plots
from prunebench.results.matrix_files import Results


def by_name(picture):
    """Lines that the legend names, in its order."""
    return dict(
        zip(
            *([text.get_text() for text in picture.figure.legends[0].get_texts()], picture.figure.axes[0].get_lines()),
            strict=False,
        )
    )


def test_parameters_are_drawn_masked_and_actual(results, in_style):
    (picture,) = plots.get("parameters").draw(results, "left")
    lines = by_name(picture)
    assert list(lines["masked"].get_ydata()) == [1000, 500, 250]
    assert list(lines["pruned physically"].get_ydata()) == [1000, 250, 62.5]
    assert list(lines["masked"].get_xdata()) == [1, 0.5, 0.25]
    assert picture.figure.axes[0].get_ylim()[0] == 0
    assert picture.figure.axes[0].get_ylabel() == "prunable weights"


def test_latency_by_batch_is_that_of_the_most_pruned_step_on_two_logarithmic_axes(results, in_style):
    (picture,) = plots.get("latency-by-batch").draw(results, "left")
    axes = picture.figure.axes[0]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    drawn = {tuple(line.get_ydata()) for line in axes.get_lines()}
    assert drawn == {(8, 32), (9, 33), (2, 8)}
    assert all(list(line.get_xdata()) == [1, 4] for line in axes.get_lines())
    assert "25 % of" in picture.figure.get_suptitle()
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "4"]


def test_latency_is_drawn_by_the_weights_that_are_counted_else_by_what_is_nominally_left(results, in_style):
    (picture,) = plots.get("latency-by-parameters").draw(results, "left")
    axes = picture.figure.axes[0]
    assert axes.get_xlabel() == "prunable weights left, % of the unpruned model"
    drawn = {(tuple(line.get_xdata()), tuple(line.get_ydata())) for line in axes.get_lines()}
    x = (0.25, 0.0625)
    assert drawn == {(x, (8, 8)), (x, (4, 2)), (x, (32, 32)), (x, (16, 8))}
    (picture,) = plots.get("latency-by-parameters").draw(replace(results, counts=()), "left")
    assert picture.figure.axes[0].get_xlabel() == "units left, % of the unpruned model (nominal)"
    assert tuple(picture.figure.axes[0].get_lines()[0].get_xdata()) == (0.5, 0.25)


def test_engines_have_pictures_of_their_own(results, in_style):
    other = tuple(replace(times, backend="openvino, bf16") for times in results.times)
    both = Results(times=(*results.times, *other))
    names = [picture.name for picture in plots.get("latency-by-batch").draw(both, "left")]
    assert names == ["latency-by-batch-net-digits-structured", "latency-by-batch-net-digits-structured-openvino-bf16"]
    assert "openvino, bf16" in plots.get("latency-by-batch").draw(both, "left")[1].figure.get_suptitle()


def test_a_batch_size_that_a_step_lacks_leaves_a_gap(results, in_style):
    first, second = results.times
    short = replace(second, batch_sizes=(1,), ms={name: row[:1] for name, row in second.ms.items()})
    (picture,) = plots.get("latency-by-parameters").draw(Results(times=(first, short)), "left")
    drawn = [line.get_ydata() for line in picture.figure.axes[0].get_lines()]
    assert any(np.isnan(row).tolist() == [False, True] for row in drawn)
    assert plots.get("latency-by-parameters").draw(Results(times=(first,)), "left") == []


def test_layers_are_the_mean_over_seeds_of_the_share_left(make_curve, with_layers, in_style):
    group = (with_layers(make_curve()), with_layers(make_curve(seed=1), (1.0, 0.3, 0.05)))
    (picture,) = plots.get("layers").draw(Results(curves=group), "left")
    axes = picture.figure.axes[0]
    (mesh,) = axes.collections
    np.testing.assert_allclose(mesh.get_array(), [[1, 0.4, 0.15], [1, 0.2, 0.075]])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["fc1", "fc2"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0\n100", "1\n50", "2\n25"]
    assert picture.figure.get_suptitle().endswith("n = 2 seeds")
    assert [text.get_text() for text in axes.texts] == ["100", "40", "15", "100", "20", "7.5"]


def test_a_layer_of_which_nothing_is_left_is_white_and_says_0(make_curve, with_layers, in_style):
    curve = with_layers(make_curve(), (1.0, 0.5, 0.0))
    (picture,) = plots.get("layers").draw(Results(curves=(curve,)), "left")
    (mesh,) = picture.figure.axes[0].collections
    assert mesh.get_array().mask[:, 2].all()
    assert picture.figure.axes[0].texts[2].get_text() == "0"


@pytest.mark.parametrize("count", [1, 120])
def test_the_heat_map_grows_with_the_layers(count, make_curve, make_record, in_style):
    from prunebench.records import LayerRecord

    layers = tuple(LayerRecord(f"l{i}", "Linear", (1, 1), (1, 1), 10, 5) for i in range(count))
    curve = replace(make_curve(), records=tuple(make_record(step, layers=layers) for step in range(3)))
    (picture,) = plots.get("layers").draw(Results(curves=(curve,)), "left")
    figure = picture.figure
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
    assert not any(upper.overlaps(lower) for upper, lower in zip(boxes, boxes[2:], strict=False))


def test_of_many_steps_some_are_named(make_curve, make_record, in_style):
    left = tuple(0.9**step for step in range(45))
    curve = make_curve(left=left)
    records = tuple(make_record(step) for step in range(45))
    curve = replace(curve, steps=tuple(range(45)), after=(0.5,) * 45, before=(0.5,) * 45, records=records)
    (picture,) = plots.get("layers").draw(Results(curves=(curve,)), "left")
    picture.figure.draw_without_rendering()
    labels = picture.figure.axes[0].get_xticklabels()
    assert [label.get_text() for label in labels[:2]] == ["0\n100", "3\n73"]
    boxes = [label.get_window_extent() for label in labels]
    assert not any(one.overlaps(other) for one, other in pairwise(boxes))
