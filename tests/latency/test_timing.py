"""Timing a run or an untrained architecture gives a record per step."""

from __future__ import annotations

import itertools

import pytest

from prunebench import EfficiencyConfig, RunConfig, prune, pruning_run, time_run, time_untrained
from prunebench.errors import ConfigError, ModelError, RunError
from prunebench.experiment.existing import efficiency_run
from prunebench.experiment.resolve import resolve

SHORT = EfficiencyConfig(batch_sizes=(1, 3), time_budget=0.1)
STRUCTURED = ("masked", "original", "pruned", "rounded")


def cells(timed):
    return sorted((t.step, r.batch_size, r.variant) for t in timed for r in t.latencies if r.variant != "sparse")


@pytest.mark.parametrize(
    ("method", "variants"), [("structured", STRUCTURED), ("unstructured", ("masked", "original", "pruned"))]
)
def test_a_run_is_timed_at_every_pruned_step(method, variants, tiny_config):
    experiment = resolve(tiny_config(method=method, iterations=2, epochs=1))
    run = experiment.run
    list(prune(experiment, run))
    timed = list(time_run(run, experiment, SHORT))
    assert cells(timed) == sorted(itertools.product((1, 2), (1, 3), variants))
    latencies = [r for t in timed for r in t.latencies]
    assert {r.run for r in latencies} == {run.key}
    assert {(r.step, r.nominal_left) for r in latencies} == {(1, 0.7), (2, 0.7**2)}
    assert {r.inputs for r in latencies} == {"12×12 images"}


def test_an_architecture_is_timed_without_training_or_writing(tiny_config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    timed = list(time_untrained(tiny_config(iterations=2), SHORT))
    assert cells(timed) == sorted(itertools.product((1, 2), (1, 3), STRUCTURED))
    assert {r.run for t in timed for r in t.latencies} == {None}
    assert list(tmp_path.iterdir()) == []


def test_the_unpruned_model_can_be_timed_against_itself(tiny_config):
    (record,) = time_untrained(tiny_config(iterations=1), EfficiencyConfig(batch_sizes=(1,), time_budget=1, steps=(0,)))
    assert record.step == 0
    assert record.original == record.pruned


@pytest.mark.slow
def test_a_run_is_timed_by_a_config_that_is_not_resolved(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = RunConfig(model="resnet18", limit_train=40, limit_test=20, epochs=1, iterations=1, finetune_epochs=1)
    run = pruning_run(config)
    list(prune(config, run))
    assert cells(time_run(run, config, SHORT)) == sorted(itertools.product((1,), (1, 3), STRUCTURED))


def test_inputs_of_another_size_are_timed_and_cost_as_much_more(tiny_config):
    config = tiny_config(iterations=1)
    (small,) = time_untrained(config, SHORT)
    (large,) = time_untrained(config, EfficiencyConfig(batch_sizes=(1,), time_budget=0.1, image_size=24))
    assert large.latencies[0].inputs == "24×24 images"
    assert 3 < large.original.macs / small.original.macs < 4.1


@pytest.mark.parametrize(
    ("about", "error", "message"),
    [
        ({"sequence_length": 8}, ConfigError, "--sequence-length 8: .* reads images"),
        ({"image_size": 1}, ModelError, "does not run on 1×1 images"),
        ({"steps": (7,)}, RunError, "has no step 7"),
        ({"backend": "onnxruntime", "dtype": "bf16"}, ConfigError, "computes in fp32, int8 only"),
    ],
)
def test_what_cannot_be_timed_is_refused(about, error, message, tiny_config):
    with pytest.raises(error, match=message):
        list(time_untrained(tiny_config(iterations=1), EfficiencyConfig(batch_sizes=(1,), time_budget=0.1, **about)))


def test_what_a_run_holds_is_not_timed_again_and_engines_have_runs_of_their_own(tiny_config):
    experiment = resolve(tiny_config(iterations=2))
    into = efficiency_run(experiment, SHORT.settings(), None)
    first = list(time_untrained(experiment, SHORT, into=into))
    assert list(time_untrained(experiment, SHORT, into=into)) == first
    other = EfficiencyConfig(batch_sizes=(1, 3), time_budget=0.2, backend="channels-last")
    assert efficiency_run(experiment, other.settings(), None).key != into.key
    assert "torch" in into.environment().versions


def test_a_run_without_a_pruned_step_is_refused(tiny_config):
    config = tiny_config(epochs=1)
    run = pruning_run(config)
    next(prune(config, run))
    with pytest.raises(RunError, match="has no pruned step yet; give its `prune` command again"):
        list(time_run(run, config, SHORT))
