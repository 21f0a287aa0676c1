"""Timing a run or an untrained architecture gives a record per step, batch size and variant."""

from __future__ import annotations

import itertools

import pytest

from prunebench import EfficiencyConfig, RunConfig, prune, pruning_run, time_run, time_untrained
from prunebench.errors import RunError
from prunebench.resolve import resolve

SHORT = EfficiencyConfig(batch_sizes=(1, 3), time_budget=0.2)
VARIANTS = ("masked", "original", "pruned")


def cells(timed):
    return sorted((r.step, r.batch_size, r.variant) for records in timed for r in records)


@pytest.mark.parametrize("method", ["structured", "unstructured"])
def test_a_run_is_timed_at_every_pruned_step(method, tiny_config):
    config = resolve(tiny_config(method=method, iterations=2, epochs=1))
    run = pruning_run(config)
    list(prune(config, run))
    timed = list(time_run(run, config, SHORT))
    assert cells(timed) == sorted(itertools.product((1, 2), (1, 3), VARIANTS))
    assert {r.run for records in timed for r in records} == {run.info.key}
    assert {(r.step, r.nominal_left) for records in timed for r in records} == {(1, 0.7), (2, 0.7**2)}


def test_an_architecture_is_timed_without_training_or_writing(tiny_config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    timed = list(time_untrained(tiny_config(iterations=2), SHORT))
    assert cells(timed) == sorted(itertools.product((1, 2), (1, 3), VARIANTS))
    assert {r.run for records in timed for r in records} == {None}
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_timed_by_a_config_that_is_not_resolved(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = RunConfig(model="resnet18", limit_train=40, limit_test=20, epochs=1, iterations=1)
    run = pruning_run(config)
    list(prune(config, run))
    assert cells(time_run(run, config, SHORT)) == sorted(itertools.product((1,), (1, 3), VARIANTS))


def test_a_run_without_a_pruned_step_is_refused(tiny_config):
    config = tiny_config(epochs=1)
    run = pruning_run(config)
    next(prune(config, run))
    with pytest.raises(RunError, match="has no pruned step yet; give its `prune` command again"):
        list(time_run(run, config, SHORT))
