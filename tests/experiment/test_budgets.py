"""Runs whose layers compete, or whose size is bounded, do what is asked, to the bit also where they go on."""

from __future__ import annotations

import msgspec
import pytest

from prunebench.errors import ConfigError
from prunebench.experiment.loop import prune
from prunebench.experiment.resolve import dense_run, pruning_run, resolve
from prunebench.records import Seconds


@pytest.fixture
def config(tiny_config):
    return lambda **about: tiny_config(epochs=0, iterations=2, finetune_epochs=0, fraction=None, **about)


def timeless(record):
    return msgspec.structs.replace(record, seconds=Seconds(), run="")


@pytest.mark.parametrize(
    ("about", "bounds"),
    [
        ({"scope": "global", "by": "macs", "macs": 0.4}, ("macs", 0.4)),
        ({"scope": "global", "sparsity": 0.5, "round_to": 2}, ()),
    ],
)
def test_a_run_ends_where_it_is_asked_to_and_goes_on_to_the_bit(config, about, bounds):
    asked = config(**about)
    run = pruning_run(asked)
    steps = prune(asked, run)
    next(steps), next(steps)
    steps.close()
    records = list(prune(asked, run))
    assert list(map(timeless, records)) == list(map(timeless, prune(asked)))
    for name, share in (bounds,) if bounds else ():
        assert 0.6 * share < getattr(records[-1], name) / getattr(records[0], name) <= share
    assert bounds or sum(unit.left for unit in records[-1].units) in range(18, 21)
    assert len({layer.weights_left / layer.weights for layer in records[-1].layers}) > 1


@pytest.mark.parametrize("about", [{"macs": 0.001}, {"compression": 1000.0}, {"scope": "global", "macs": 0.03}])
def test_a_bound_that_cannot_be_met_is_told_before_anything_is_trained(config, about):
    asked = config(**about)
    with pytest.raises(ConfigError, match=r"^(Multiply-accumulates|Parameters) cannot be brought to .* are left\. Ask"):
        list(prune(asked, pruning_run(asked)))
    assert not dense_run(asked).steps()


def test_samples_that_a_scope_looks_at_are_part_of_a_run(config):
    about = {"method": "unstructured", "scope": "owl"}
    assert resolve(config(**about, calibration=9)).settings.calibration == 9
    assert pruning_run(config(**about)).key != pruning_run(config(**about, calibration=9)).key
