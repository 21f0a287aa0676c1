"""Parameters and latencies are drawn as they were counted and measured."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

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
