"""Tables of timings tell medians, percentiles, speed-ups with intervals, costs and breakdowns, from samples alone."""

from __future__ import annotations

import msgspec
import pytest

from prunebench.records import Breakdown, Costs, LatencyRecord, Quantised, Score, Scores, SparseLayer, TimingRecord
from prunebench.results import latency_tables

SAMPLES = {"original": [10.0] * 20, "masked": [11.0] * 20, "pruned": [5.0] * 19 + [9.0], "rounded": [4.0] * 20}
COSTS = Costs(
    params=2_000_000,
    nonzero_params=1_500_000,
    macs=4_000_000,
    activation_bytes=900,
    checkpoint_bytes=8_000_000,
    checkpoint_zstd_bytes=7_000_000,
)


def timing(samples=SAMPLES, **changes):
    latencies = tuple(
        LatencyRecord(
            run=None,
            model="tiny",
            method="structured",
            step=6,
            nominal_left=0.531441,
            variant=variant,
            batch_size=4,
            device="cpu",
            dtype="fp32",
            threads=2,
            samples_ms=tuple(times),
            **changes,
        )
        for variant, times in samples.items()
    )
    return TimingRecord(
        step=6,
        latencies=latencies,
        original=COSTS,
        pruned=msgspec.structs.replace(COSTS, macs=1_000_000),
        breakdown=Breakdown(batch1_ms=(2.0,) * 6, batch4_ms=(2.8,) * 6, unpruned_share={4: 0.25}),
    )


def row(text, number=1):
    return text.splitlines()[number].split()


def test_a_row_holds_medians_percentiles_throughput_and_the_paired_speed_up():
    text = latency_tables.times([timing(ended="interval")])
    assert row(text) == [
        *("6", "53.1", "%", "4", "10.00", "11.00", "5.00", "5.00", "5.20", "max", "9.00", "800"),
        *("2.00", "×", "2.00–2.00", "20"),
    ]
    assert "Masked: no speed-up expected" in text
    assert "*" not in text


def test_the_speed_up_is_the_median_of_ratios_within_rounds_and_not_a_ratio_of_medians():
    text = latency_tables.times([timing({"original": [10, 20, 30], "masked": [1, 1, 1], "pruned": [5, 20, 10]})])
    assert row(text)[-4:] == ["2.00", "×", "unknown", "3*"]
    assert "the time was used up" in text


def test_what_a_pattern_gains_is_told_once_with_the_steps_that_it_is_true_of():
    one, other = (
        msgspec.structs.replace(timing(), step=step, notes=notes) for step, notes in ((1, ("a", "b")), (2, ("a",)))
    )
    assert latency_tables.times([one, other]).splitlines()[-2:] == ["a", "step 1: b"]


def test_accuracy_and_compressed_layers_are_shown_where_there_are_some():
    layer = SparseLayer(
        name="fc", batch_size=4, shape=(2, 2), sparsity=0.9, dense_ms=(2.0,), sparse_ms=(1.0,), chosen=True
    )
    found = msgspec.structs.replace(
        timing({**SAMPLES, "sparse": [2.5] * 20}, scores=Scores.of(top1=(3, 4))), sparse_layers=(layer,)
    )
    text = latency_tables.times([found])
    assert row(text)[-6:] == ["2.50", "4.00", "×", "4.00–4.00", "20*", "0.750"]
    assert "batch 4: storing linear layers sparse paid from 90.0 % sparsity on" in text
    assert "top-1" not in latency_tables.times([timing()])


def test_prune_quantise_or_both_is_one_table():
    assert latency_tables.int8([timing()]) == ""
    how = Quantised(
        scheme="static",
        samples=256,
        weight_bits=8,
        int8={"QLinearConv": 20},
        fp32={"MatMul": 2},
        calibrated_on="training data",
    )
    small = {"dtype": "int8", "quantised": how, "agreement": Score(199, 200), "file_bytes": 1_000}
    times = {"original": 4.0, "masked": 4.0, "pruned": 2.0, "original-fp32": 10.0, "pruned-fp32": 5.0}
    made = timing({name: [ms] * 20 for name, ms in times.items()}, scores=Scores.of(top1=(3, 4)), file_bytes=4_000)
    latencies = [of if of.variant.endswith("fp32") else msgspec.structs.replace(of, **small) for of in made.latencies]
    text = latency_tables.int8([msgspec.structs.replace(made, latencies=tuple(latencies))])
    accuracy = ("0.750", "0.301–0.954")
    assert row(text, 1) == [*("6", "4", "unpruned", "fp32", "10.00", "1.00", "×", "4", "kB"), *accuracy]
    assert row(text, 2)[2:] == ["unpruned", "int8", "4.00", "2.50", "×", "2.50–2.50", "1", "kB", *accuracy, "99.5", "%"]
    assert row(text, 3)[2:] == ["pruned", "fp32", "5.00", "2.00", "×", "2.00–2.00", "4", "kB", *accuracy]
    assert row(text, 4)[2:] == ["pruned", "int8", "2.00", "5.00", "×", "5.00–5.00", "1", "kB", *accuracy, "99.5", "%"]
    told = (
        "static on 256 samples of training data, weights of 8 bits, 20 of 22 products in int8; in fp32 stay 2 MatMul."
    )
    assert text.splitlines()[-2:] == [f"unpruned: {told}", f"step 6: {told}"]
    assert max(map(len, text.splitlines())) <= 120


def test_masked_models_were_timed_in_the_first_rounds_and_the_table_says_what_they_gain_there():
    found = timing({"original": [10.0] * 6 + [99.0] * 14, "masked": [12.5] * 6, "pruned": [5.0] * 20})
    assert "Masked: in the first 6 rounds alone; original / masked there: 0.80 ×; the 95 % interval is 0.80–0.80." in (
        latency_tables.times([found])
    )
    assert "first" not in latency_tables.times([timing()])


def test_masked_models_of_which_no_interval_is_known_are_counted_among_none():
    found = timing({"original": [10.0] * 20, "masked": [12.5] * 2, "pruned": [5.0] * 20})
    text = latency_tables.times([found, msgspec.structs.replace(found, step=7)])
    assert (
        "Masked: in the first 2 rounds alone; original / masked there: 0.80 to 0.80 ×; too few for an interval." in text
    )


def test_costs_begin_with_the_unpruned_model():
    text = latency_tables.costs([timing()])
    assert row(text, 1)[:9] == ["0", "2", "M", "1.5", "M", "4", "M", "1.00", "×"]
    assert row(text, 2)[:9] == ["6", "2", "M", "1.5", "M", "1", "M", "4.00", "×"]
    assert row(text, 2)[9:] == ["900", "B", "8", "MB", "7", "MB"]


def test_masked_weights_have_a_column_of_what_is_left_of_the_macs_without_theirs():
    assert "effective" not in latency_tables.costs([timing()])
    masked = msgspec.structs.replace(timing(), pruned=msgspec.structs.replace(COSTS, effective_macs=400_000))
    text = latency_tables.costs([masked])
    assert text.splitlines()[0].split()[4:7] == ["theoretical", "effective", "activations"]
    assert row(text, 2)[7:11] == ["1.00", "×", "400", "k"]
    assert "Effective: without the MACs of masked weights" in text


def test_evidence_stands_beside_the_measured_speed_up_with_an_interval_each():
    samples = {"original": [10.0] * 20, "masked": [1.0] * 20, "pruned": [4.0, 5.0] * 10, "rounded": [3.0, 5.0] * 10}
    found = timing(samples, peak_bytes=3_000_000)
    passes = Breakdown(
        batch1_ms=(2.0,) * 6,
        batch4_ms=(2.6, 2.7, 2.8, 2.9, 3.0, 3.0),
        unpruned_share={4: 0.25},
        unpruned_shares={4: (0.1, 0.2, 0.24, 0.25, 0.25, 0.25, 0.26, 0.3, 0.9)},
    )
    text = latency_tables.breakdown([msgspec.structs.replace(found, breakdown=passes)])
    assert row(text) == [
        *("6", "4", "4.00", "×", "2.25", "×", "(2.00–2.50)", "56", "%", "(50–62)"),
        *("1.42", "×", "(1.30–1.50)", "0.88", "×", "(0.75–1.00)", "25", "%", "(20–30)", "3", "MB"),
    ]
    assert "In brackets: the 95 % interval" in text


def test_an_interval_that_too_few_rounds_have_is_unknown_and_a_share_of_an_earlier_version_has_none():
    few = timing({name: times[:3] for name, times in SAMPLES.items()})
    assert row(latency_tables.breakdown([few])) == [
        *("6", "4", "4.00", "×", "2.00", "×", "(unknown)", "50", "%", "(unknown)"),
        *("1.40", "×", "(1.40–1.40)", "0.80", "×", "(unknown)", "25", "%"),
    ]


@pytest.mark.parametrize(
    ("rounds", "tails"),
    [
        (10, ["min", "1.00", "max", "10.00"]),
        (19, ["min", "1.00", "max", "19.00"]),
        (20, ["1.95", "19.05", "max", "20.00"]),
        (99, ["5.90", "94.10", "max", "99.00"]),
        (100, ["5.95", "95.05", "99.01"]),
    ],
)
def test_a_percentile_beyond_which_no_round_lies_is_not_shown(rounds, tails):
    samples = [float(i + 1) for i in range(rounds)]
    text = latency_tables.times([timing(dict.fromkeys(SAMPLES, samples))])
    assert row(text)[7:-5] == tails
    assert ("min, max: fewer rounds than 20" in text) is (rounds < 100)


@pytest.mark.parametrize("table", [latency_tables.times, latency_tables.costs, latency_tables.breakdown])
def test_tables_fit_on_a_line_of_120_characters(table):
    assert max(len(line) for line in table([timing(scores=Scores.of(top1=(1, 2)), peak_bytes=5)]).splitlines()) <= 120


def test_files_are_held_against_the_first():
    first, second = (
        msgspec.structs.replace(timing().latencies[0], step=i, model=f"{name}.onnx", samples_ms=(ms,) * 10)
        for i, (name, ms) in enumerate((("dense", 3.0), ("pruned", 2.0)))
    )
    text = latency_tables.of_files([second, first])
    assert row(text, 1) == ["dense.onnx", "4", "3.00", "min", "3.00", "max", "3.00", "1333", "10*"]
    assert row(text, 2) == [
        *("pruned.onnx", "4", "2.00", "min", "2.00", "max", "2.00", "2000"),
        *("1.50", "×", "1.50–1.50", "10*"),
    ]
