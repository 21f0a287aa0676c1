"""Notes and collapsed layers are told once for all seeds that they hold of."""

from __future__ import annotations

import msgspec

from prunebench.records import ProofRecord, RemovedBlock, Summary
from prunebench.report.figures import figures
from prunebench.report.remarks import remarks
from prunebench.report.sources import gather
from prunebench.results.curves import by_settings, curve_of, curves_of


def told(root):
    groups = by_settings(curves_of(gather(str(root)).runs, []))
    return remarks(groups, figures(groups))


def test_a_note_of_several_seeds_is_told_once_per_step(tmp_path, pruned):
    for seed in range(2):
        pruned(tmp_path, seed=seed, notes=("conv9 has one channel left",))
    who = "tiny on digits, tiny structured"
    assert told(tmp_path) == [f"{who}, step {step} (seed 0, 1): conv9 has one channel left." for step in (1, 2)]


def test_collapsed_layers_are_a_warning_with_the_way_in_which_they_did(tmp_path, pruned, commit):
    run = pruned(tmp_path, steps=1)
    record = run.record(0)
    layer = msgspec.structs.replace(record.layers[0], collapsed="all weights are zero")
    commit(run, msgspec.structs.replace(record, step=1, layers=(layer,)))
    assert told(tmp_path) == [
        "tiny on digits, tiny structured, step 1 (seed 0): Warning: conv1 collapsed (all weights are zero)."
    ]


def test_where_nothing_is_to_be_told_nothing_is(study):
    assert told(study) == []


def test_what_was_proved_is_told_once_for_all_seeds(tmp_path, pruned, commit):
    proof = ProofRecord(groups=12, difference=1e-15, through_norms=True)
    for seed in range(2):
        run = pruned(tmp_path, steps=1, seed=seed)
        record = run.record(0)
        empty = dict.fromkeys(("left_out", "weights", "mean", "std"), ())
        summary = Summary(data="digits", digest=None, parts={}, params=1, macs=1, proof=proof, **empty)
        commit(run, msgspec.structs.replace(record, step=1, summary=summary))
    assert told(tmp_path) == [
        "tiny on digits, tiny structured: removal proved exact on this model: 12 groups of units; norms average over "
        "the channels that are left."
    ]


def test_removed_blocks_and_their_proof_are_told(tmp_path, pruned, commit):
    for seed, name in enumerate(("layer1.1", "layer1.1", "layer2.1")):
        run = pruned(tmp_path, steps=1, seed=seed)
        record = run.record(0)
        removed = (RemovedBlock(name, 0.01 * seed), RemovedBlock("layer3.1", 0.2))
        commit(run, msgspec.structs.replace(record, step=1, removed=removed))
    who = "tiny on digits, tiny structured, step 1"
    assert told(tmp_path) == [
        f"{who} (seed 0, 1): layer1.1, layer3.1 were removed.",
        f"{who} (seed 2): layer2.1, layer3.1 were removed.",
    ]


def test_blocks_that_take_a_norm_along_are_told_as_such(tmp_path, pruned, commit):
    proof = ProofRecord(groups=0, difference=0.0, blocks=4, normed=4)
    run = pruned(tmp_path, steps=1)
    empty = dict.fromkeys(("left_out", "weights", "mean", "std"), ())
    summary = Summary(data="digits", digest=None, parts={}, params=1, macs=1, proof=proof, **empty)
    commit(run, msgspec.structs.replace(run.record(0), step=1, summary=summary))
    assert told(tmp_path) == [
        "tiny on digits, tiny structured: removal proved exact on this model: 4 blocks; a norm that follows the sum "
        "goes with its block."
    ]


def test_what_a_pattern_gained_where_it_was_timed_is_told(tmp_path, pruned, timed):
    run = pruned(tmp_path, method="unstructured", criterion="l1")
    of = timed(run)
    note = "2:4 gains nothing here: this device (cpu) has no kernels for it."
    noted = [msgspec.structs.replace(of.timing(step), notes=(note,)) for step in of.steps()]
    groups = [[curve_of(run, {"eager": noted})]]
    assert remarks(groups, figures(groups)) == [
        f"tiny on digits, tiny unstructured, step {step} (seed 0): timed on eager: {note}" for step in (1, 2)
    ]
