"""What a study will take is told by steps that were measured."""

from __future__ import annotations

import pytest

from prunebench.experiment.resolve import resolve
from prunebench.records import Seconds
from prunebench.runs.index import all_runs
from prunebench.studies.estimates import estimate


@pytest.fixture
def planned(tiny_config):
    def make(**changes):
        return resolve(tiny_config(iterations=3, epochs=10, **changes))

    return make


def write(folder):
    (folder / "structure.json").write_bytes(b"{}" * 500)


def test_a_training_and_a_step_take_what_such_took_before(planned, make_record, commit, tmp_path):
    experiment = planned()
    commit(experiment.dense, make_record(0, seconds=Seconds(finetune=20.0)), write=write)
    for step, seconds in ((0, 99.0), (1, 3.0), (2, 5.0)):
        commit(experiment.run, make_record(step, seconds=Seconds(1.0, 1.0, seconds, 1.0)), write=write)
    measured = all_runs(tmp_path / "runs")
    of_step = (experiment.run.step_folder(1) / "record.json").stat().st_size + 1000
    found = estimate([planned()], measured)
    assert (found.seconds, found.steps, found.unknown) == (7.0, 1, 0)
    assert found.bytes == pytest.approx(of_step, rel=0.05)
    found = estimate([planned(), planned(seed=1), planned(seed=1, fraction=0.5)], measured)
    assert found.seconds == pytest.approx(7.0 + 20.0 + 2 * 3 * 7.0)  # one training serves two runs
    assert (found.steps, found.unknown) == (1 + 1 + 2 * 4, 0)


def test_nothing_is_guessed_of_a_kind_that_was_not_measured(planned, make_record, commit, tmp_path):
    assert estimate([planned()], []) == estimate([planned()], all_runs(tmp_path / "runs"))
    assert estimate([planned()], []).unknown == estimate([planned()], []).steps == 5
    experiment = planned()
    commit(experiment.run, *(make_record(step) for step in range(4)))
    other = planned(method="unstructured")
    found = estimate([other], all_runs(tmp_path / "runs"))
    assert (found.seconds, found.steps, found.unknown) == (0.0, 5, 5)
    found = estimate([experiment], all_runs(tmp_path / "runs"))
    assert (found.steps, found.unknown) == (1, 1)  # the dense run is gone


@pytest.mark.parametrize(
    "changes", [{"finetune_epochs": 3}, {"finetune_updates": 90}, {"retrain": "distil"}, {"finetune_batch_size": 8}]
)
def test_steps_that_are_trained_otherwise_tell_nothing(changes, planned, make_record, commit, tmp_path):
    experiment = planned()
    commit(experiment.dense, make_record(0))
    commit(experiment.run, *(make_record(step) for step in range(4)))
    found = estimate([planned(**changes)], all_runs(tmp_path / "runs"))
    assert (found.steps, found.unknown) == (4, 4)


def test_what_is_finished_takes_nothing(planned, make_record, commit):
    experiment = planned()
    commit(experiment.dense, make_record(0))
    commit(experiment.run, *(make_record(step) for step in range(4)))
    found = estimate([experiment], [experiment.run])
    assert (found.seconds, found.bytes, found.steps, found.unknown) == (0.0, 0.0, 0, 0)


def test_both_phases_of_a_training_are_counted(planned, make_record, commit, tmp_path):
    (tmp_path / "head.toml").write_text("epochs = 5\nfreeze = true\n", encoding="utf-8")
    experiment = planned()
    commit(experiment.dense, make_record(0, seconds=Seconds(finetune=20.0)))
    commit(experiment.run, *(make_record(step) for step in range(4)))
    phased = planned(weights=str(tmp_path / "head.toml"))
    found = estimate([phased], all_runs(tmp_path / "runs"))
    assert found.steps == 2 + 4
    first, second = (phase.dense for phase in phased.phases)
    more = found.seconds
    commit(first, make_record(0))
    assert more - estimate([phased], [experiment.dense, experiment.run]).seconds == pytest.approx(5 * 2.0)
    commit(second, make_record(0))
    assert more - estimate([phased], [experiment.dense, experiment.run]).seconds == pytest.approx(15 * 2.0)


def test_checkpoints_take_what_those_of_the_same_step_took(planned, make_record, commit, tmp_path):
    """Pruned models shrink from step to step."""
    run = planned().run
    for step, kb in ((0, 90), (1, 60), (2, 30)):
        commit(
            run,
            make_record(step),
            write=lambda folder, kb=kb: (folder / "structure.json").write_bytes(bytes(1000 * kb)),
        )
    other = planned(seed=1)
    commit(other.dense, make_record(0))
    found = estimate([other], all_runs(tmp_path / "runs"))
    assert found.bytes == pytest.approx(90_000 + 60_000 + 30_000 + 90_000, rel=0.1)


def test_a_training_of_no_epochs_tells_nothing_of_how_long_one_takes(tiny_config, make_record, commit, tmp_path):
    untrained, trained = (resolve(tiny_config(epochs=epochs, iterations=1)) for epochs in (0, 2))
    commit(untrained.dense, make_record(0, seconds=Seconds(finetune=0.0)), write=write)
    commit(trained.dense, make_record(0, seconds=Seconds(finetune=8.0)), write=write)
    commit(trained.run, make_record(0), make_record(1, seconds=Seconds(finetune=1.0)))
    found = estimate([resolve(tiny_config(epochs=3, iterations=1, seed=1))], all_runs(tmp_path / "runs"))
    assert (found.seconds, found.unknown) == (13.0, 0)
