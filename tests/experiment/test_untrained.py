"""Untrained models are pruned by the schedule, and their checkpoints take the disk that is foretold."""

from __future__ import annotations

from dataclasses import replace

import pytest

from prunebench import prune
from prunebench.experiment.resolve import resolve
from prunebench.experiment.untrained import WALKED, stored_bytes, untrained
from prunebench.models.costs import masked, params


def test_every_step_is_an_own_copy_pruned_further(tiny_config):
    states = list(untrained(tiny_config(fraction=0.5, iterations=3)))
    assert [(step, left) for step, left, _ in states] == [(0, 1.0), (1, 0.5), (2, 0.25), (3, 0.125)]
    assert [state.model.features[0].out_channels for _, _, state in states] == [8, 4, 2, 1]


def test_rounded_widths_follow_the_schedule_of_the_unpruned_model(tiny_config):
    states = [state for _, _, state in untrained(tiny_config(fraction=0.3, iterations=4, round_to=4))]
    widths = [[state.model.features[i].out_channels for i in (0, 4)] for state in states]
    assert widths == [[8, 12], [8, 8], [4, 8], [4, 4], [4, 4]]  # 6, 4, 3, 2 and 8, 6, 4, 3 without rounding


def test_masks_grow_and_the_model_keeps_its_size(tiny_config):
    states = [state for _, _, state in untrained(tiny_config(method="unstructured", fraction=0.5, iterations=2))]
    assert len({params(state.model) for state in states}) == 1
    gone = [masked(state.masks) for state in states]
    assert gone[0] == 0 < gone[1] < gone[2]


@pytest.mark.parametrize("method", ["structured", "unstructured"])
def test_the_estimate_of_disk_is_what_a_run_then_takes(method, tiny_config):
    experiment = resolve(tiny_config(method=method, epochs=1, iterations=3))
    run = experiment.run
    list(prune(experiment, run))
    estimate = stored_bytes(experiment, 3)
    for step, size in enumerate(estimate):
        files = list(run.step_folder(step).glob("*.safetensors"))
        headers = sum(8 + int.from_bytes(file.read_bytes()[:8], "little") for file in files)
        assert size == sum(file.stat().st_size for file in files) - headers


@pytest.mark.parametrize("round_to", [1, 4])
def test_a_leap_removes_as_much_as_its_steps_one_after_the_other(round_to, tiny_config):
    config = tiny_config(fraction=0.15, iterations=12, round_to=round_to)
    walked = {step: params(state.model) for step, _, state in untrained(config)}
    assert {step: params(state.model) for step, _, state in untrained(config, [0, 2, 3, 12])} == {
        step: walked[step] for step in (0, 2, 3, 12)
    }


@pytest.mark.parametrize("changes", [{}, {"round_to": 4}, {"method": "unstructured"}, {"method": "none"}])
def test_the_disk_of_many_steps_is_told_by_pruning_a_few(changes, tiny_config, monkeypatch):
    experiment = resolve(tiny_config(**{"fraction": 0.1, "iterations": 30, **changes}))
    walked = [
        sum(tensor.nbytes for tensor in state.model.state_dict().values())
        + sum(-(-mask.numel() // 8) for mask in state.masks.values())
        for _, _, state in untrained(experiment)
    ]
    pruned = []
    prune = experiment.method.prune
    method = replace(experiment.method, prune=lambda *args: pruned.append(args) or prune(*args))
    vars(experiment)["method"] = method
    told = stored_bytes(experiment, 30)
    assert len(pruned) <= WALKED
    assert len(told) == 31
    assert told[:1] == walked[:1]
    assert sum(told) == pytest.approx(sum(walked), rel=0.1)


def test_a_million_steps_take_no_longer(tiny_config):
    experiment = resolve(tiny_config(fraction=0.2, iterations=1_000_000))
    told = stored_bytes(experiment, 1_000_000)
    assert len(told) == 1_000_001
    assert told[0] > told[-1] > 0
    assert told == sorted(told, reverse=True)
