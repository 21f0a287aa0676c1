"""Measuring gives a record per step with every variant at every batch size, its costs and its breakdown."""

from __future__ import annotations

import copy
from dataclasses import replace
from statistics import median

import msgspec
import pytest
import torch

from prunebench import EfficiencyConfig
from prunebench.alternation import BRIEF
from prunebench.errors import Stopped
from prunebench.latency import measure as latency
from prunebench.latency.backends import backends
from prunebench.latency.measure import measure
from prunebench.latency.prepare import Conditions, Scored
from prunebench.latency.variants import TimedStep
from prunebench.models.costs import macs
from prunebench.pruning.granularity import read_pattern
from prunebench.pruning.methods import structured, unstructured
from prunebench.pruning.registry import methods
from prunebench.records import Score, Scores

CPU = torch.device("cpu")


@pytest.fixture
def steps(tiny_state, request_for):
    """The unpruned model and as many pruned steps as are asked for, by a method."""

    def make(count, method="structured"):
        original = tiny_state()
        subjects, state = [], tiny_state()
        for step in range(1, count + 1):
            request = request_for(state.architecture.inputs, 0.3, "l1")
            if method == "structured":
                structured.prune(state.model, {}, request)
            else:
                state = replace(state, masks=unstructured.prune(state.model, state.masks, request).masks)
            subjects.append(TimedStep(step, 0.7**step, copy.deepcopy(state)))
        return original, subjects

    return make


def conditions(method="structured", score=None, stop=None, pattern=None, **about):
    efficiency = EfficiencyConfig(**{"batch_sizes": (2, 1), "time_budget": 0.1, **about})
    named = {"run": None, "model": "tiny", "method": method}
    masks = methods.get(method).masks
    return Conditions(backends.get(efficiency.backend), CPU, efficiency, named, masks, score, stop, pattern)


@pytest.mark.parametrize("about", [{}, {"dtype": "bf16"}, {"backend": "channels-last"}])
def test_every_step_size_and_variant_is_measured_and_the_models_are_left_alone(about, steps):
    original, subjects = steps(2)
    before = copy.deepcopy(original.model.state_dict())
    found = list(measure(original, subjects, 2, conditions(**about)))
    assert [record.step for record in found] == [1, 2]
    for record in found:
        cells = sorted((r.batch_size, r.variant) for r in record.latencies)
        assert cells == sorted((size, name) for size in (2, 1) for name in ("original", "masked", "pruned"))
        for of in record.latencies:
            assert (of.dtype, of.backend) == (about.get("dtype", "fp32"), about.get("backend", "eager"))
            assert of.max_difference is not None
            assert (of.peak_bytes is None) == (of.variant == "masked")
        for size in (1, 2):
            rounds = {r.variant: len(r.samples_ms) for r in record.latencies if r.batch_size == size}
            assert 1 <= rounds.pop("masked") <= BRIEF
            assert len({*rounds.values()}) == 1
    assert all(torch.equal(tensor, before[name]) for name, tensor in original.model.state_dict().items())


def test_steps_of_one_group_share_the_samples_of_the_original(steps, monkeypatch):
    original, subjects = steps(3)
    monkeypatch.setattr(latency, "TOGETHER", 2)
    records = list(measure(original, subjects, 3, conditions(batch_sizes=(1,))))
    first, second, third = (next(r for r in t.latencies if r.variant == "original").samples_ms for t in records)
    assert first == second != third


def test_costs_and_evidence_are_those_of_the_step(steps):
    original, subjects = steps(2)
    _, record = measure(original, subjects, 2, conditions(batch_sizes=(3,)))
    inputs = original.architecture.inputs
    assert record.original.macs == macs(original.model, inputs)
    assert record.pruned.macs == macs(subjects[1].state.model, inputs) < record.original.macs
    assert record.pruned.checkpoint_bytes < record.original.checkpoint_bytes
    assert len(record.breakdown.batch1_ms) == len(record.breakdown.batch4_ms) > 0
    assert set(record.breakdown.unpruned_share) == {3}
    assert median(record.breakdown.unpruned_shares[3]) == record.breakdown.unpruned_share[3]
    assert record.breakdown.unpruned_share[3] == 0  # every layer is smaller; the output layer reads less


def test_linear_layers_of_masked_models_are_tried_compressed(steps, monkeypatch):
    original, subjects = steps(6, "unstructured")
    real = latency.sparse.choose

    def optimistic(*args, **kwargs):
        return [type(layer)(**{**as_dict(layer), "chosen": True}) for layer in real(*args, **kwargs)]

    def as_dict(layer):
        return {name: getattr(layer, name) for name in layer.__struct_fields__}

    monkeypatch.setattr(latency.sparse, "choose", optimistic)
    (record,) = measure(original, subjects[-1:], 1, conditions("unstructured", batch_sizes=(2,)))
    assert {layer.name for layer in record.sparse_layers} >= {"classifier.1"}
    samples = {r.variant: r.samples_ms for r in record.latencies}
    assert len(samples["sparse"]) == len(samples["original"])


@pytest.mark.skipif(not torch.backends.mkl.is_available(), reason="PyTorch multiplies blocks by MKL")
def test_layers_of_runs_with_blocks_are_tried_as_blocks_and_answer_as_before(steps, monkeypatch):
    original, subjects = steps(6, "unstructured")
    real = latency.sparse.choose

    def as_blocks(*args, **kwargs):
        return [
            msgspec.structs.replace(layer, chosen=not layer.unfit, layout="CSR" if layer.unfit else "BSR 8x8")
            for layer in real(*args, **kwargs)
        ]

    monkeypatch.setattr(latency.sparse, "choose", as_blocks)
    about = conditions("unstructured", batch_sizes=(2,), pattern=read_pattern("8x8"))
    (record,) = measure(original, subjects[-1:], 1, about)
    assert {layer.name: layer.layout for layer in record.sparse_layers}["classifier.1"] == "BSR 8x8"
    assert record.notes == ("Not stored as BSR 8x8, being no multiple of 8 × 8: classifier.3 (3 × 16).",)
    (sparse,) = [r for r in record.latencies if r.variant == "sparse"]
    assert 0 <= sparse.max_difference < 1e-4


@pytest.mark.parametrize(
    ("pattern", "dtype", "note"),
    [("2:4", "bf16", "2:4 gains nothing here: this device (cpu) has no kernels for it."), (None, "fp32", None)],
)
def test_a_pattern_that_gains_nothing_is_told_of_in_the_record(pattern, dtype, note, steps):
    original, subjects = steps(1, "unstructured")
    asked = None if pattern is None else read_pattern(pattern)
    (record,) = measure(original, subjects, 1, conditions("unstructured", batch_sizes=(1,), dtype=dtype, pattern=asked))
    assert record.notes == (() if note is None else (note,))


@pytest.mark.parametrize("about", [{"method": "structured"}, {"method": "unstructured", "dtype": "bf16"}])
def test_elsewhere_nothing_is_compressed(about, steps):
    original, subjects = steps(1, about["method"])
    (record,) = measure(original, subjects, 1, conditions(**about))
    assert record.sparse_layers == ()
    assert "sparse" not in {r.variant for r in record.latencies}


@pytest.mark.parametrize(("dtype", "scored"), [("fp32", set()), ("bf16", {"original", "pruned"})])
def test_accuracy_stands_beside_the_time_where_numbers_change(dtype, scored, steps):
    original, subjects = steps(1)
    found = Scored(Scores.of(top1=(3, 4)), Score(4, 4))
    (record,) = measure(original, subjects, 1, conditions(dtype=dtype, score=lambda loaded: [found]))
    assert {r.variant for r in record.latencies if r.scores is not None} == scored
    assert all(r.scores in (None, Scores.of(top1=(3, 4))) for r in record.latencies)


def test_measuring_stops_when_asked_to(steps):
    original, subjects = steps(1)
    with pytest.raises(Stopped):
        list(measure(original, subjects, 1, conditions(stop=lambda: True)))


def test_int8_is_timed_beside_fp32_in_the_same_rounds_and_scored_with_it(steps):
    original, subjects = steps(1)
    seen = []

    def score(full, small):
        seen.append((full.quantised is None, small.quantised is not None))
        return [Scored(Scores.of(top1=(3, 4)), Score(4, 4)), Scored(Scores.of(top1=(2, 4)), Score(3, 4))]

    chosen = {"backend": "onnxruntime", "dtype": "int8", "batch_sizes": (2,), "int8_samples": 24}
    (record,) = measure(original, subjects, 1, conditions(score=score, **chosen))
    found = {r.variant: r for r in record.latencies}
    assert {name: r.dtype for name, r in found.items()} == {
        **dict.fromkeys(("original", "masked", "pruned"), "int8"),
        **dict.fromkeys(("original-fp32", "pruned-fp32"), "fp32"),
    }
    assert next(iter(found)) == "original"  # by which a timing is called
    assert len({len(r.samples_ms) for name, r in found.items() if name != "masked"}) == 1
    assert seen == [(True, True)] * 2
    for name, scores, agreement in (
        ("original", 2, Score(3, 4)),
        ("pruned", 2, Score(3, 4)),
        ("original-fp32", 3, None),
        ("pruned-fp32", 3, None),
    ):
        assert (found[name].scores.correct, found[name].agreement) == (scores, agreement)
    how = found["pruned"].quantised
    assert (how.samples, how.calibrated_on, sum(how.int8.values()), how.fp32) == (24, "random inputs", 4, {})
    assert found["pruned-fp32"].max_difference < 1e-5 < found["pruned"].max_difference
