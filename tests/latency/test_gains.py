"""What a pattern gains is told from what was timed: nothing, and why; or which layers it is that cannot."""

from __future__ import annotations

from prunebench.latency.gains import NAMED, gains
from prunebench.latency.layouts import CSR, blocks
from prunebench.pruning.granularity import read_pattern
from prunebench.records import SparseLayer

TRIED = (CSR, blocks(16, 16))
BSR = TRIED[-1].name


def layer(name="fc", chosen=False, layout="CSR", unfit=None):
    return SparseLayer(
        name=name,
        batch_size=1,
        shape=(10, 40),
        sparsity=0.9,
        dense_ms=(1.0,),
        sparse_ms=(0.5,),
        chosen=chosen,
        layout=layout,
        unfit=unfit or {},
    )


def of(*layers, pattern="16x16", tried=TRIED, why=""):
    return gains(read_pattern(pattern), tried, why, layers)


def test_without_a_pattern_nothing_is_said():
    assert gains(None, (CSR,), "", [layer(chosen=True)]) == ()


def test_a_pattern_without_a_layout_gains_nothing_for_the_reason_that_is_given():
    why = "this device (cpu) has no kernels for it"
    assert of(layer(), pattern="2:4", tried=(CSR,), why=why) == (f"2:4 gains nothing here: {why}.",)
    assert of(pattern="row", tried=(), why="zeros") == ("row gains nothing here: zeros.",)


def test_what_is_gained_otherwise_is_not_put_down_to_the_pattern():
    told = of(layer(chosen=True), pattern="2:4", tried=(CSR,), why="no kernels")
    assert told == (
        "2:4 gains nothing here: no kernels.",
        "What its linear layers gain, they gain as any zeros do, stored as CSR.",
    )


def test_blocks_gain_something_where_a_layer_is_quickest_in_them():
    assert of(layer(), layer("fc2", chosen=True, layout=BSR)) == ()


def test_blocks_gain_nothing_where_no_layer_is_quickest_in_them():
    assert of(layer(layout=BSR)) == ("16x16 gains nothing here: stored as BSR 16x16 no linear layer is quickest.",)
    assert of() == ("16x16 gains nothing here: no linear layer is 50 % sparse.",)


def test_layers_that_blocks_do_not_fit_are_named_once_with_the_reason():
    unfit = {BSR: "no multiple of 16 × 16"}
    assert of(layer(unfit=unfit), layer(unfit=unfit)) == (
        "16x16 gains nothing here: no linear layer can be stored as BSR 16x16.",
        "Not stored as BSR 16x16, being no multiple of 16 × 16: fc (10 × 40).",
    )
    several = [layer(f"fc{i}", unfit=unfit) for i in range(NAMED + 2)]
    (told,) = of(layer("one", chosen=True, layout=BSR), *several)
    assert told.endswith("fc3 (10 × 40) and 2 more.")
