"""Latency: every variant is timed as often as the others, and masked models hold what was pruned."""

from __future__ import annotations

import copy
import time
from collections import Counter
from dataclasses import replace

import pytest
import torch
from torch import nn

from prunebench import EfficiencyConfig
from prunebench.efficiency.latency import alternate, mask_like, measure
from prunebench.inputs import logits_of
from prunebench.strategies import structured, unstructured

CPU = torch.device("cpu")


@pytest.mark.parametrize(("seconds", "rounds"), [(0, 1), (-5, 1), (60, 7)])
def test_variants_are_timed_equally_often_once_at_least_and_once_more_to_warm_up(seconds, rounds):
    calls = []
    variants = {name: lambda name=name: calls.append(name) for name in "abc"}
    samples = alternate(variants, seconds=seconds, seed=0, max_rounds=7)
    assert {name: len(values) for name, values in samples.items()} == {"a": rounds, "b": rounds, "c": rounds}
    assert Counter(calls) == {"a": rounds + 1, "b": rounds + 1, "c": rounds + 1}


def test_a_round_holds_every_variant_in_an_order_that_changes():
    calls = []
    variants = {name: lambda name=name: calls.append(name) for name in "abc"}
    alternate(variants, seconds=60, seed=1, max_rounds=20)
    rounds = [tuple(calls[start : start + 3]) for start in range(3, len(calls), 3)]
    assert all(sorted(order) == ["a", "b", "c"] for order in rounds)
    assert len(set(rounds)) > 3


def test_samples_are_milliseconds_of_one_call():
    samples = alternate({"slow": lambda: time.sleep(0.02), "fast": lambda: None}, seconds=0, seed=0)
    assert 20 <= samples["slow"][0] < 20_000  # in microseconds it would be more
    assert samples["fast"][0] < samples["slow"][0]


def test_time_is_up_soon_after_the_seconds():
    started = time.perf_counter()
    alternate({"a": lambda: time.sleep(0.01)}, seconds=0.2, seed=0)
    assert 0.2 <= time.perf_counter() - started < 0.8  # 100 rounds take a second at least


@pytest.mark.parametrize("name", ["resnet18", "bert"])
def test_as_many_filters_are_masked_as_were_removed(name, fresh, request_for):
    state = fresh(name)
    whole = copy.deepcopy(state.model)
    structured.prune(state.model, {}, request_for(state.architecture.inputs, 0.3))
    masked = mask_like(whole, state)
    shrunk = 0
    logits_of(masked, state.architecture.inputs.example())  # computes weight from weight_orig and weight_mask
    for path, module in masked.named_modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            kept = len(state.model.get_submodule(path).weight)
            shrunk += kept < len(module.weight)
            assert hasattr(module, "weight_mask") == (kept < len(module.weight))
            assert int(module.weight.flatten(1).ne(0).any(1).sum()) == kept
    assert shrunk >= 8


def test_masks_of_single_weights_are_put_in_place_as_they_are(tiny_state, request_for):
    state = tiny_state()
    request = request_for(state.architecture.inputs, 0.5, "l1", targets="all")
    whole = copy.deepcopy(state.model)
    masks = unstructured.prune(state.model, {}, request).masks
    masked = mask_like(whole, replace(state, masks=masks))
    for name, mask in masks.items():
        path, _, key = name.rpartition(".")
        assert torch.equal(getattr(masked.get_submodule(path), f"{key}_mask").bool(), mask)
    example = state.architecture.inputs.example(4)
    assert torch.equal(masked(example), state.model(example))


@pytest.mark.parametrize("about", [{}, {"dtype": "bf16"}, {"channels_last": True}])
def test_every_step_size_and_variant_is_measured_and_the_models_are_left_alone(about, tiny_state, request_for):
    original, pruned = tiny_state(), tiny_state()
    structured.prune(pruned.model, {}, request_for(pruned.architecture.inputs, 0.5))
    steps = [(1, 0.5, pruned), (2, 0.25, pruned)]
    config = EfficiencyConfig(batch_sizes=(2, 1), time_budget=0.2)
    named = {"run": None, "model": "tiny", "method": "structured"}
    before = original.model.features[0].weight.clone()
    found = list(measure(original, iter(steps), config, about=named, steps=2, device=CPU, **about))
    cells = [(r.step, r.nominal_left, r.batch_size, r.variant) for records in found for r in records]
    assert sorted(cells) == sorted(
        (step, left, size, variant)
        for step, left, _ in steps
        for size in (2, 1)
        for variant in ("original", "masked", "pruned")
    )
    for records in found:
        assert all(r.dtype == about.get("dtype", "fp32") for r in records)
        for size in (1, 2):
            assert len({len(r.samples_ms) for r in records if r.batch_size == size}) == 1
    assert torch.equal(original.model.features[0].weight, before)
    assert before.dtype == original.model.features[0].weight.dtype
