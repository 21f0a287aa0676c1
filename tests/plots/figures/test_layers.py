"""The picture of layers has a row per layer: bars of what was and is left, and the share of weights of every step."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import msgspec
import numpy as np
import pytest

from prunebench.plots.registry import plots
from prunebench.records import LayerRecord
from prunebench.results.matrix_files import Results

pytestmark = pytest.mark.usefixtures("in_style")


def picture_of(*curves):
    (picture,) = plots.get("layers").draw(Results(curves=curves), "left")
    return picture.figure


def test_weights_are_drawn_before_and_after_the_last_step_as_means_over_seeds(make_curve, with_layers):
    other = (1.0, 0.5, 0.05)
    figure = picture_of(with_layers(make_curve()), with_layers(make_curve(seed=1), other))
    bars, cells, _ = figure.axes
    before, left = bars.containers
    assert [bar.get_width() for bar in before] == [10_000, 10_000]
    assert [bar.get_width() for bar in left] == [1500, 750]
    assert [text.get_text() for text in bars.texts] == ["10 k → 1500", "10 k → 750"]
    assert [label.get_text() for label in bars.get_yticklabels()] == ["fc1", "fc2"]
    assert bars.get_xlabel() == "weights before → left after step 2"
    assert cells.images[0].get_array().tolist() == [[1, 0.5, pytest.approx(0.15)], [1, 0.25, pytest.approx(0.075)]]
    assert [text.get_text() for text in cells.texts] == ["100", "50", "15", "100", "25", "7.5"]
    assert bars.get_ylim() == cells.get_ylim()
    assert [label.get_text() for label in cells.get_xticklabels()] == ["0\n100", "1\n50", "2\n25"]
    assert figure.get_suptitle().endswith("n = 2 seeds")


def test_of_pruned_units_outputs_are_drawn_and_a_layer_that_is_whole_says_so(make_curve, with_layers):
    curve = with_layers(make_curve(method="structured"))
    layers = (
        LayerRecord("conv", "Conv2d", (64, 3), (31, 3), 192, 93),
        LayerRecord("fc", "Linear", (2, 9), (2, 9), 18, 18),
    )
    bars = picture_of(replace(curve, records=tuple(replace_layers(record, layers) for record in curve.records))).axes[0]
    assert [text.get_text() for text in bars.texts] == ["64 → 31", "2"]
    assert bars.get_xlabel() == "outputs before → left after step 2"


def replace_layers(record, layers):
    return msgspec.structs.replace(record, layers=layers)


def test_a_long_model_says_how_its_layers_are_put_together(make_curve, with_layers):
    curve = with_layers(make_curve())
    layers = tuple(LayerRecord(f"block.{i}.{j}", "Linear", (4, 4), (4, 4), 16, 8) for i in range(20) for j in range(5))
    figure = picture_of(replace(curve, records=tuple(replace_layers(record, layers) for record in curve.records)))
    assert "100 layers in 20 rows: those whose names begin alike are summed up" in " ".join(
        figure.get_suptitle().split()
    )
    assert figure.axes[0].get_yticklabels()[0].get_text() == "block.0 (5)"


def test_seeds_whose_layers_were_recorded_under_other_names_are_left_out(make_curve, with_layers):
    other = with_layers(make_curve(seed=1), (1.0, 0.1, 0.1))
    renamed = (LayerRecord("old", "Linear", (4, 4), (4, 4), 16, 8),)
    other = replace(other, records=tuple(replace_layers(record, renamed) for record in other.records))
    figure = picture_of(with_layers(make_curve()), other)
    assert [text.get_text() for text in figure.axes[0].texts] == ["10 k → 2500", "10 k → 1250"]
    assert "seeds" not in figure.get_suptitle()


def test_a_layer_of_which_nothing_is_left_is_blank_and_says_0(make_curve, with_layers):
    curve = with_layers(make_curve(), (1.0, 0.5, 0.0))
    _, cells, _ = picture_of(curve).axes
    (image,) = cells.images
    assert np.ma.getmaskarray(image.get_array())[:, 2].all()
    assert cells.texts[2].get_text() == "0"


@pytest.mark.parametrize("count", [1, 120])
def test_the_heat_map_grows_with_the_layers(count, make_curve, make_record):
    layers = tuple(LayerRecord(f"l{i}", "Linear", (1, 1), (1, 1), 10, 5) for i in range(count))
    curve = replace(make_curve(), records=tuple(make_record(step, layers=layers) for step in range(3)))
    figure = picture_of(curve)
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
    assert not any(upper.overlaps(lower) for upper, lower in zip(boxes, boxes[2:], strict=False))


def test_of_many_steps_some_are_named(make_curve, make_record):
    left = tuple(0.9**step for step in range(45))
    curve = make_curve(left=left)
    records = tuple(make_record(step) for step in range(45))
    curve = replace(curve, steps=tuple(range(45)), after=(0.5,) * 45, before=(0.5,) * 45, records=records)
    figure = picture_of(curve)
    figure.draw_without_rendering()
    labels = figure.axes[1].get_xticklabels()
    assert [label.get_text() for label in labels[:2]] == ["0\n100", "3\n73"]
    boxes = [label.get_window_extent() for label in labels]
    assert not any(one.overlaps(other) for one, other in pairwise(boxes))
