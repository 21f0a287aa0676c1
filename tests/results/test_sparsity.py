"""From which sparsity on compressed layers paid, told from what was timed alone."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from prunebench.records import SparseLayer
from prunebench.results.sparsity import pays_from, sentences


def layer(sparsity, chosen, size=1):
    return SparseLayer(
        name="fc",
        batch_size=size,
        shape=(8, 8),
        sparsity=sparsity,
        dense_ms=(1.0,),
        sparse_ms=(0.5,),
        chosen=chosen,
    )


@given(st.lists(st.builds(layer, st.floats(0.5, 1), st.booleans()), max_size=8))
def test_it_pays_from_the_lowest_sparsity_that_was_chosen(layers):
    found = pays_from(layers)
    assert (found is None) == (not any(one.chosen for one in layers))
    if found is not None:
        assert [one for one in layers if one.chosen and one.sparsity < found] == []
        assert found in [one.sparsity for one in layers if one.chosen]


def test_each_batch_size_has_its_sentence_with_what_was_counted():
    layers = [layer(0.7, False), layer(0.8, True), layer(0.9, False), layer(0.95, True), layer(0.98, False, 64)]
    assert sentences(layers) == [
        "batch 1: storing linear layers sparse paid from 80.0 % sparsity on "
        "(2 of the 3 layers that are at least as sparse).",
        "batch 64: storing linear layers sparse never paid, up to 98.0 % sparsity.",
    ]


def test_what_the_layers_are_stored_as_is_counted_where_there_was_a_choice():
    one, other = layer(0.8, True), layer(0.9, True)
    blocks = msgspec.structs.replace(one, layout="BSR 16x16", others_ms={"CSR": (0.6,)})
    beside = msgspec.structs.replace(other, others_ms={"BSR 16x16": (0.6,)})
    (told,) = sentences([blocks, beside, beside, layer(0.6, False)])
    assert told.endswith("(3 of the 3 layers that are at least as sparse): 1 as BSR 16x16, 2 as CSR.")


def test_layers_that_fit_no_layout_are_not_counted():
    assert sentences([msgspec.structs.replace(layer(0.9, False), dense_ms=(), sparse_ms=())]) == []


def test_nothing_is_said_where_nothing_was_timed():
    assert sentences([]) == []
