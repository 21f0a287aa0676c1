"""What units cost is measured once per run, kept with it, and read by every step, whatever a clock would say later."""

from __future__ import annotations

import re

import msgspec
import pytest

from prunebench.alternation import FIRST_LOOK
from prunebench.errors import ConfigError, RunError
from prunebench.experiment import unit_times
from prunebench.experiment.loop import prune
from prunebench.experiment.resolve import pruning_run, resolve
from prunebench.experiment.setup import set_up
from prunebench.experiment.store import Memory
from prunebench.experiment.unit_times import unit_costs
from prunebench.experiment.verify import verify
from prunebench.models.costs import macs
from prunebench.models.input_spec import InputSpec

IMAGES = InputSpec(kind="images", size=12)
UNITS = {"features.0": 8, "features.4": 12, "classifier.1": 16}
"""Of each group, in the order of the layers."""


@pytest.fixture
def clock(monkeypatch):
    """Sets what a pass of a model takes, in milliseconds; returns how many passes were timed since."""

    def set_to(ms):
        calls = []

        def stopwatch(call):
            calls.append(call)
            return float(ms(call.args[0]))

        monkeypatch.setattr(unit_times, "stopwatch_for", lambda device: stopwatch)
        monkeypatch.setattr(unit_times, "SECONDS", 0.0)
        return calls

    return set_to


@pytest.fixture
def config(tiny_config):
    """A run that ranks by latency, and trains next to nothing."""
    return tiny_config(epochs=1, finetune_epochs=0, iterations=2, scope="global", by="latency")


def widths(model):
    """Units of each group that are there."""
    return (model.features[0].out_channels, model.features[4].out_channels, model.classifier[1].out_features)


def takes(*costs, whole=100.0):
    """What a model takes each of whose units takes so much."""
    full = tuple(UNITS.values())
    return lambda model: whole + sum(ms * (has - had) for ms, has, had in zip(costs, widths(model), full, strict=True))


def weights(run):
    """What decides what is left: the tensors of every step."""
    return [(run.step_folder(step) / "model.safetensors").read_bytes() for step in run.steps()]


def test_a_unit_costs_what_half_of_its_group_saves(clock, config):
    timed = clock(lambda model: macs(model, IMAGES))
    setup = set_up(resolve(config))
    found = unit_costs(setup, Memory())
    counts = {each.group: (each.units, each.removed) for each in found.groups}
    assert counts == {name: (units, units // 2) for name, units in UNITS.items()}
    assert found.ms == {  # the layer and, of what reads it, a column
        "features.0": 144 * 27 + 36 * 12 * 9,
        "features.4": 36 * 72 + 4 * 16,
        "classifier.1": 48 + 3,
    }
    assert (found.batch_size, found.device, found.pass_ms) == (1, "cpu", macs(setup.fresh().model, IMAGES))
    assert len(timed) == 3 * 2 * (FIRST_LOOK + 1)  # with and without, after a round of warm-up


@pytest.mark.parametrize(
    ("costs", "noise", "found"),
    [
        ((4.0, 2.0, 0.0), 0.0, (4.0, 2.0, 2.0)),  # nothing scatters: as the cheapest
        ((4.0, 2.0, 0.0), 1.0, (4.0, 2.0, 1.0 / 8)),  # an interval from -1 to 1, of 8 neurons
        ((4.0, 2.0, -1.0), 0.0, (4.0, 2.0, 2.0)),  # slower without them
    ],
)
def test_a_gain_that_is_not_above_noise_costs_no_more_than_what_was_measured(costs, noise, found, clock, config):
    passes, of = [], takes(*costs)

    def scattered(model):
        passes.append(model)
        return of(model) + noise * (widths(model)[2] < 16) * (-1) ** len([each for each in passes if each is model])

    clock(scattered)
    costs = unit_costs(set_up(resolve(config)), Memory())
    assert [costs.ms[name] for name in UNITS] == pytest.approx(found)
    assert [each.group for each in costs.groups if not each.told] == ["classifier.1"]
    told = list(unit_times.lines(costs))
    assert f"classifier.1 <{found[2]:.2g}" in told[0]
    assert told[1].startswith("of 1 of 3 groups fewer units gain no time above noise")


def test_where_nothing_gains_any_time_that_is_told_before_the_training(clock, config, tmp_path):
    clock(lambda model: 5.0)
    run = pruning_run(config)
    with pytest.raises(ConfigError, match=r"^--by latency: without half of any layer's units .* Give --by macs"):
        list(prune(config, run))
    assert not [path for path in run.root.glob("*") if not path.name.startswith(".")]


def test_a_run_that_is_stopped_goes_on_with_what_was_measured_first(clock, config, tmp_path):
    def kept(folder, first, then):
        there = msgspec.structs.replace(config, runs_dir=str(tmp_path / folder))
        run = pruning_run(there)
        clock(first)
        steps = prune(there, run)
        next(steps)
        next(steps)
        steps.close()
        assert run.steps() == [0, 1]
        measured = clock(then)
        list(prune(there, run))
        assert measured == []
        return run

    neurons, channels = takes(1.0, 1.0, 200.0), takes(200.0, 200.0, 1.0)
    whole = kept("a", neurons, neurons)
    stopped = kept("b", neurons, channels)
    other = kept("c", channels, channels)
    assert whole.key == stopped.key == other.key
    assert weights(whole) == weights(stopped)
    assert weights(whole)[0] == weights(other)[0]
    assert weights(whole)[1] != weights(other)[1]
    assert "milliseconds a unit: " in " ".join(whole.record(1).notes)
    assert "milliseconds a unit: " not in " ".join(whole.record(2).notes)


def test_without_a_run_units_are_measured_once(clock, config):
    timed = clock(takes(1.0, 1.0, 200.0))
    found = [record.units for record in prune(config)]
    assert len(timed) == 3 * 2 * (FIRST_LOOK + 1)
    run = pruning_run(config)
    assert [record.units for record in prune(config, run)] == found


def test_what_was_measured_and_is_damaged_is_told_and_not_measured_anew(clock, config):
    clock(takes(1.0, 2.0, 3.0))
    run = pruning_run(config)
    steps = prune(config, run)
    next(steps)
    steps.close()
    path = run.folder / "unit-costs.json"
    data = path.read_bytes()
    timed = clock(takes(3.0, 2.0, 1.0))
    spoiled = {"is damaged": lambda: path.write_bytes(data.replace(b"3.0", b"2.0")), "is missing": path.unlink}
    for problem, spoil in spoiled.items():
        spoil()
        with pytest.raises(RunError, match=rf"{re.escape(str(path))} {problem}.*--fresh"):
            list(prune(config, run))
        with pytest.raises(RunError, match=rf"unit-costs\.json {problem}"):
            list(verify(run, resolve(config)))
    assert timed == []
    path.write_bytes(data)
    assert len(list(prune(config, run))) == 3


def test_a_step_that_is_computed_anew_takes_the_same_units(clock, config):
    clock(takes(1.0, 1.0, 200.0))
    run = pruning_run(config)
    list(prune(config, run))
    before = weights(run)
    run.redo(1)
    timed = clock(takes(200.0, 200.0, 1.0))
    list(prune(config, run))
    assert (weights(run), timed) == (before, [])


def test_ranked_otherwise_nothing_is_measured(clock, config, tiny_config):
    timed = clock(takes(1.0, 1.0, 1.0))
    assert unit_costs(set_up(resolve(tiny_config(scope="global", by="macs"))), Memory()) is None
    assert timed == []
