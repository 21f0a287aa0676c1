"""A run in a line: what it is doing, how far it is, and in what it differs from others of its kind."""

from __future__ import annotations

import msgspec
import pytest

from prunebench import dense_run, prune, pruning_run, train
from prunebench.errors import Stopped
from prunebench.runs.index import all_runs
from prunebench.runs.overview import overview


def rows(config):
    return {row.name: row for row in overview(all_runs(config.runs_dir, begun=True))}


def test_runs_of_a_kind_are_told_apart_by_their_settings_alone(tiny_config):
    for changes in ({}, {"fraction": 0.5}, {"fraction": 0.5, "finetune_epochs": 0}):
        config = tiny_config(epochs=1, iterations=1, **changes)
        list(prune(config, pruning_run(config)))
    pruned = [row for row in rows(config).values() if row.kind == "prune"]
    assert sorted(row.differs for row in pruned) == [
        "fraction=0.3 finetune_epochs=1",
        "fraction=0.5 finetune_epochs=0",
        "fraction=0.5 finetune_epochs=1",
    ]
    assert [row.differs for row in rows(config).values() if row.kind == "train"] == [""]


def test_progress_follows_the_run(tiny_config):
    config = tiny_config(epochs=2, iterations=2, finetune_epochs=2)
    run, dense, asked = pruning_run(config), dense_run(config), []

    def stop_at(place):
        def ask():
            return bool(asked) and asked[-1] == place

        return ask

    def tell(tick):
        asked.append((tick.phase, tick.step))

    with pytest.raises(Stopped):
        train(config, dense, tell, stop_at(("train", 0)))
    assert (rows(config)[dense.key].state, rows(config)[dense.key].progress) == ("stopped", "training begun")
    with pytest.raises(Stopped):
        list(prune(config, run, tell, stop_at(("finetune", 2))))
    found = rows(config)
    assert (found[dense.key].state, found[dense.key].progress) == ("finished", "trained")
    assert (found[run.key].state, found[run.key].progress) == ("stopped", "step 1 of 2, next one begun")
    list(prune(config, run))
    assert (rows(config)[run.key].state, rows(config)[run.key].progress) == ("finished", "step 2 of 2")
    longer = msgspec.structs.replace(config, iterations=3)
    list(prune(longer, pruning_run(longer)))
    assert rows(config)[run.key].progress == "step 3 of 3"


def test_size_is_that_of_all_files(tiny_config):
    config = tiny_config(epochs=1, iterations=1)
    run = pruning_run(config)
    list(prune(config, run))
    expected = sum(path.stat().st_size for path in run.folder.rglob("*") if path.is_file())
    assert rows(config)[run.key].bytes == expected
