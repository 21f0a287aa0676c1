"""A store keeps the steps of a run: memory and disk give back the same of what they were given."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
import torch

from prunebench.errors import RunError, RunLocked
from prunebench.experiment.resolve import resolve
from prunebench.experiment.store import Disk, Memory, store_for
from prunebench.models import checkpoint
from prunebench.training.state import StepState


@pytest.fixture
def experiment(tiny_config):
    return resolve(tiny_config())


@pytest.fixture(params=["memory", "disk"])
def store(request, experiment):
    """An empty store of each kind."""
    return store_for(None if request.param == "memory" else experiment.run, experiment)


@pytest.fixture
def next_process(store, experiment):
    """Makes the store as another process finds it."""
    return lambda: store_for(experiment.run if store.key else None, experiment)


@pytest.fixture
def kept(here, experiment):
    """The folder of a run, held by this process."""
    store = Disk(experiment.run, experiment)
    with store.working(here):
        yield store


@pytest.fixture
def state_of(tiny_state):
    """Makes the state of a step, with weights of its own."""

    def make(step, **changes):
        found = tiny_state()
        with torch.no_grad():
            found.model.features[0].bias.fill_(step)
        return StepState(step, found, **changes)

    return make


def same(one, other):
    mine, theirs = (found.model.state_dict() for found in (one, other))
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_the_kind_of_store_is_that_of_the_run(experiment):
    assert isinstance(store_for(None, experiment), Memory)
    assert isinstance(store_for(experiment.run, experiment), Disk)


def test_steps_records_and_the_model_of_the_last_one_come_back(store, state_of, make_record, here):
    assert store.new
    assert (store.steps(), store.finished()) == ([], None)
    with store.working(here):
        for step in range(3):
            assert store.begun(step) is None
            record, state = make_record(step, run=""), state_of(step)
            store.commit(record, state)
            assert store.record(step) == msgspec.structs.replace(record, run=store.key or "")
            assert store.steps() == list(range(step + 1))
            assert same(store.checkpoint(step), state.checkpoint)
            assert msgspec.structs.replace(store.record(0), run="") == make_record(0, run="")
    store.tidy()
    assert store.steps() == [0, 1, 2]


def test_a_store_of_another_run_is_of_the_same_kind_and_empty(store, state_of, make_record, here, experiment):
    with store.working(here):
        store.commit(make_record(0), state_of(0))
    other = store.of(experiment.dense)
    assert type(other) is type(store)
    assert (other.new, other.steps()) == (True, [])
    assert (other.key is None) == (store.key is None) == (other.key == store.key)


def test_what_is_saved_of_a_step_is_there_for_the_next_process_where_there_is_a_disk(
    store, state_of, here, next_process
):
    with store.working(here):
        store.save(state_of(0, epoch=1, batch=2, notes=("a remark",)))
    found = next_process().begun(0)
    assert next_process().begun(1) is None
    assert (found is not None) == (store.key is not None)
    if found:
        assert (found.at, found.notes) == ((0, 1, 2), ("a remark",))
        assert same(found.checkpoint, state_of(0).checkpoint)


def test_what_is_finished_is_there_for_the_next_process_where_there_is_a_disk(
    store, state_of, make_record, here, next_process
):
    for step in range(4):
        assert next_process().finished() is None
        with store.working(here):
            store.commit(make_record(step), state_of(step))
    found = next_process().finished()
    assert found == (None if store.key is None else [next_process().record(step) for step in range(4)])


def test_memory_has_no_model_but_the_last(state_of, make_record):
    store = Memory()
    for step in (0, 1):
        store.commit(make_record(step), state_of(step))
    with pytest.raises(AssertionError, match="the last step alone"):
        store.checkpoint(0)


def test_a_disk_has_the_models_of_all_steps_also_for_another_process(kept, experiment, state_of, make_record):
    for step in (0, 1):
        kept.commit(make_record(step), state_of(step))
    again = Disk(experiment.run, experiment)
    assert (again.new, again.steps()) == (False, [0, 1])
    for store in (kept, again):
        assert all(same(store.checkpoint(step), state_of(step).checkpoint) for step in (0, 1))


@pytest.mark.parametrize("resumed", [False, True])
def test_what_was_saved_at_the_end_is_not_written_again(resumed, kept, state_of, make_record, monkeypatch):
    kept.save(state := state_of(0, epoch=2))
    kept._writing.wait()
    run = kept._run
    inode = (run.progress() / "model.safetensors").stat().st_ino
    if resumed:
        kept = Disk(run, kept._experiment)
        state = kept.begun(0)
    monkeypatch.setattr(checkpoint, "write_tensors", None)
    kept.commit(make_record(0), state)
    assert (run.step_folder(0) / "model.safetensors").stat().st_ino == inode
    names = {path.name for path in run.checkpoint(0).iterdir()}
    assert names == {"record.json", "model.safetensors", "structure.json"}
    assert not run.begun


def test_what_was_saved_before_the_end_is_not_taken_for_the_step(kept, experiment, state_of, make_record):
    for step, stale in ((0, (0, 1)), (1, (7, 2))):
        kept.save(state_of(stale[0], epoch=stale[1]))
        kept.commit(make_record(step), state_of(step, epoch=2))
    again = Disk(experiment.run, experiment)
    assert all(same(again.checkpoint(step), state_of(step).checkpoint) for step in (0, 1))


def test_a_disk_drops_the_checkpoints_that_are_not_kept(tiny_config, state_of, make_record, here):
    experiment = resolve(tiny_config(keep="last"))
    with (store := Disk(experiment.run, experiment)).working(here):
        for step in (0, 1):
            store.commit(make_record(step), state_of(step))
            assert experiment.run.checkpoints() == [step]
    with pytest.raises(RunError, match="has not kept the checkpoint of step 0"):
        Disk(experiment.run, experiment).checkpoint(0)


def test_a_disk_is_held_by_one_process_and_memory_by_any_number(store, here, next_process):
    refused = contextlib.nullcontext() if store.key is None else pytest.raises(RunLocked)
    with store.working(here), refused, next_process().working(here):
        pass
