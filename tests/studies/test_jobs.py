"""Jobs: what is not done yet, in an order in which it can be done, and what became of it."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from prunebench.experiment import loop
from prunebench.experiment.resolve import resolve
from prunebench.runs.lock import held
from prunebench.studies import jobs
from prunebench.studies.jobs import Job, Outcome, do, jobs_of, unfit


@pytest.fixture
def planned(tiny_config):
    """Makes planned experiments of the small CNN."""

    def make(**changes):
        return resolve(tiny_config(threads=1, **changes))

    return make


def test_a_dense_run_comes_once_and_before_those_that_need_it(planned):
    found = jobs_of([planned(fraction=0.1), planned(fraction=0.2), planned(fraction=0.1, seed=1)])
    assert [job.kind for job in found] == ["train", "prune", "prune", "train", "prune"]
    assert [job.needs for job in found] == [None, found[0].key, found[0].key, None, found[3].key]


def test_what_is_done_is_no_job_and_what_it_needed_is_not_either(planned):
    runs = [planned(fraction=0.1, iterations=1), planned(fraction=0.2, iterations=1)]
    outcomes = [do(job) for job in jobs_of(runs[:1])]
    assert all(outcome.fine for outcome in outcomes)
    (left,) = jobs_of(runs)
    assert (left.key, left.needs) == (runs[1].run.key, None)
    more = planned(fraction=0.1, iterations=2)
    assert [job.key for job in jobs_of([more])] == [runs[0].run.key]


def test_a_job_keeps_its_steps_and_its_matrices_in_its_run_and_nowhere_else(planned, tmp_path):
    experiment = planned(iterations=1)
    run = experiment.run
    steps = []
    for job in jobs_of([experiment]):
        assert do(job, told=lambda job, record: steps.append((job.kind, record.step))).fine
    assert steps == [("train", 0), ("prune", 0), ("prune", 1)]
    assert run.steps() == [0, 1]
    assert [path.suffix for path in run.folder.glob("*.txt")] == [".txt", ".txt"]
    assert not (tmp_path / "performance").exists()


def test_paths_are_absolute_and_the_run_is_the_same(planned, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    experiment = planned(runs_dir="here", data_dir="there")
    (job, _) = jobs_of([experiment])
    assert Path(job.config.runs_dir) == tmp_path / "here"
    assert Path(job.config.data_dir) == tmp_path / "there"
    assert job.key == experiment.dense.key


def test_whatever_goes_wrong_is_an_outcome(planned, monkeypatch):
    experiment = planned(exclude=("no.such.module",))
    run = experiment.run
    mistake = do(Job("prune", experiment.settings, run.key))
    assert mistake.error.startswith("No module matches 'no.such.module'")
    assert not mistake.fine
    assert not run.folder.exists()

    def broken(*args, **named):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(loop, "prune", broken)
    bug = do(Job("prune", experiment.settings, run.key))
    assert bug.error == "ZeroDivisionError: a bug"
    assert "test_jobs.py" in bug.trace


def test_a_job_that_is_asked_to_stop_is_stopped_and_goes_on(planned):
    experiment = planned()
    dense, job = jobs_of([experiment])
    assert do(dense).fine
    stopped = do(job, stop=lambda: True)
    assert (stopped.stopped, stopped.error, stopped.fine) == (True, "", False)
    assert do(job).fine


def test_what_needs_a_failed_run_fails_and_says_why():
    job = Job("prune", None, "child", "parent")
    assert unfit(job, Outcome("parent", "no disk")).error == "Its dense run parent failed: no disk"
    assert unfit(job, Outcome("parent", stopped=True)).stopped


def test_a_run_that_another_process_holds_is_waited_for(planned, monkeypatch):
    experiment = planned()
    dense, _ = jobs_of([experiment])
    monkeypatch.setattr(jobs, "PATIENCE", 0.0)
    with held(experiment.dense.folder):
        assert "is being computed by process" in do(dense).error
    holding = ExitStack()
    holding.enter_context(held(experiment.dense.folder))
    monkeypatch.setattr(jobs, "PATIENCE", 60.0)
    monkeypatch.setattr(jobs.time, "sleep", lambda seconds: holding.close())
    assert do(dense).fine


def test_a_first_phase_of_training_is_a_job_that_the_dense_run_needs(planned, tmp_path):
    (tmp_path / "head.toml").write_text("epochs = 1\nfreeze = true\n", encoding="utf-8")
    runs = [planned(weights=str(tmp_path / "head.toml"), iterations=1, fraction=fraction) for fraction in (0.1, 0.2)]
    found = jobs_of(runs)
    assert [job.kind for job in found] == ["train", "train", "prune", "prune"]
    assert [job.needs for job in found] == [None, found[0].key, found[1].key, found[1].key]
    assert all(do(job).fine for job in found)
    assert jobs_of(runs) == []


def test_a_folder_that_is_called_like_a_keyword_is_no_weights(planned, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "none").mkdir()
    experiment = planned(weights="none")
    assert [job.config.weights for job in jobs_of([experiment])] == ["none", "none"]


@pytest.mark.parametrize("kind", ["dense", "run"])
def test_a_run_that_is_damaged_is_a_job_that_fails_with_what_to_do(kind, planned):
    experiment = planned(epochs=1, iterations=1)
    for job in jobs_of([experiment]):
        assert do(job).fine
    assert jobs_of([experiment]) == []
    odd = getattr(experiment, kind)
    (odd.folder / "run.json").unlink()
    if kind == "dense":
        assert jobs_of([experiment]) == []  # it is not needed any more
        (experiment.run.folder / "run.json").unlink()
    job = jobs_of([experiment])[0]
    assert job.key == odd.key
    outcome = do(job)
    assert outcome.error.startswith(f"{odd.folder / 'run.json'} is missing. ")
    assert outcome.error.endswith("in a study, move the folder away.")
