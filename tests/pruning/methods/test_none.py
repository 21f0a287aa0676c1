"""The control: nothing is removed, and the rest is as with any method."""

from __future__ import annotations

import pytest
import torch

from prunebench.errors import ConfigError
from prunebench.experiment.loop import prune
from prunebench.experiment.resolve import pruning_run, resolve
from prunebench.pruning.methods import none
from prunebench.pruning.registry import methods


def test_nothing_is_removed_whatever_is_asked(tiny_state, request_for):
    state = tiny_state()
    before = {name: tensor.clone() for name, tensor in state.model.state_dict().items()}
    request = request_for(state.architecture.inputs, fraction=0.9)
    assert none.prune(state.model, {}, request).masks == {}
    assert all(torch.equal(tensor, before[name]) for name, tensor in state.model.state_dict().items())


def test_it_is_the_only_method_that_removes_nothing():
    assert [name for name in methods.names() if not methods.get(name).removes] == ["none"]
    assert methods.get("none").left(0.5, 3) == 1.0
    assert methods.get("structured").left(0.5, 3) == 0.125


def test_every_step_trains_on_and_says_that_all_is_left(tiny_config):
    records = list(prune(tiny_config(method="none", iterations=2)))
    assert {(r.nominal_left, r.units[0].left, r.params, r.macs) for r in records} == {
        (1.0, records[0].units[0].original, records[0].params, records[0].macs)
    }
    assert records[1].test_before == records[0].test_after  # it was not changed before it was trained
    assert records[2].test_before == records[1].test_after
    assert records[1].loss != records[2].loss


def test_it_is_a_run_of_its_own_that_goes_on(tiny_config):
    config = tiny_config(method="none", iterations=1)
    run = pruning_run(config)
    first = list(prune(config, run))
    more = list(prune(tiny_config(method="none", iterations=2), run))
    assert more[:2] == first
    assert len(more) == 3


@pytest.mark.parametrize("goal", ["params<=0.5", "latency@1<=0.5"])
def test_it_reaches_no_bound_on_costs(goal, tiny_config):
    with pytest.raises(ConfigError, match="--method none does not lower: it removes nothing"):
        resolve(tiny_config(method="none", until=(goal,)))
