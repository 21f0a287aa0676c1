"""Untrained models are pruned by the schedule, and their checkpoints take the disk that is foretold."""

from __future__ import annotations

import pytest

from prunebench import prune
from prunebench.experiment.resolve import resolve
from prunebench.experiment.untrained import stored_bytes, untrained
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
    estimate = stored_bytes(experiment, 4)
    for step, size in enumerate(estimate):
        files = list(run.step_folder(step).glob("*.safetensors"))
        headers = sum(8 + int.from_bytes(file.read_bytes()[:8], "little") for file in files)
        assert size == sum(file.stat().st_size for file in files) - headers
