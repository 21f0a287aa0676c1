"""A row per layer, or per layers whose names begin alike; nothing is lost or counted twice."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunebench.records import LayerRecord
from prunebench.results.layers import MOST_ROWS, Layer, averaged, together, told


def record(name, shape, left, kind="Linear"):
    return LayerRecord(name, kind, shape, left, prod(shape), prod(left))


def layer(name):
    return Layer(name, 4, 3, 12, 6)


def test_means_over_seeds_are_those_of_outputs_and_weights():
    one, other = ([record("fc", (8, 4), (rows, 4))] for rows in (6, 4))
    assert averaged([one, other]) == [Layer("fc", 8, 5, 32, 20)]
    assert averaged([one, other])[0].share == 20 / 32


@pytest.mark.parametrize(("kind", "outputs", "left"), [("Linear", 8, 6), ("Conv1D", 4, 3), ("ConvTranspose2d", 4, 3)])
def test_outputs_are_rows_or_where_a_layer_keeps_them_so_columns(kind, outputs, left):
    (found,) = averaged([[record("fc", (8, 4), (6, 3), kind)]])
    assert (found.outputs, found.outputs_left) == (outputs, left)


def test_a_layer_that_went_with_its_block_has_no_outputs_left():
    (found,) = averaged([[record("", (8, 4), (0, 4), "Conv1D")]])
    assert (found.name, found.outputs_left, found.weights_left) == ("the model itself", 0, 0)


def test_a_model_of_few_layers_has_a_row_for_each():
    layers = [layer(f"layer{i}") for i in range(MOST_ROWS)]
    assert together(layers) == layers
    assert told(layers) == ""


def test_layers_whose_names_begin_alike_are_put_together_by_as_long_a_beginning_as_will_do():
    names = [f"encoder.{block}.{what}" for block in range(20) for what in ("self.query", "self.key", "out", "in")]
    rows = together([layer(name) for name in [*names, "classifier"]])
    assert [row.name for row in rows[:3]] == ["encoder.0.self", "encoder.0.out", "encoder.0.in"]
    assert rows[0] == Layer("encoder.0.self", 8, 6, 24, 12, layers=2)
    assert rows[-1] == layer("classifier")
    assert told(rows) == "81 layers in 61 rows: those whose names begin alike are summed up"


def test_where_names_have_nothing_in_common_neighbours_are_put_together():
    rows = together([layer(f"{i}") for i in range(100)])
    assert [row.name for row in rows[:2]] == ["0 …", "2 …"]
    assert told(rows) == "100 layers in 50 rows: neighbours are summed up"


@given(
    st.lists(st.sampled_from(["a.0", "a.1.x", "a.1.y", "b", "b.c.d", "e"]), min_size=1, max_size=30), st.integers(1, 9)
)
def test_no_layer_is_lost_and_rows_are_as_few_as_was_asked(names, most):
    layers = [replace(layer(name), weights=12 + i) for i, name in enumerate(names)]
    rows = together(layers, most)
    assert len(rows) <= most
    assert sum(row.layers for row in rows) == len(layers)
    for what in ("outputs", "outputs_left", "weights", "weights_left"):
        assert sum(getattr(row, what) for row in rows) == sum(getattr(of, what) for of in layers)
