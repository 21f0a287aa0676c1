"""Runs in processes of this machine: as one process computes them, whatever becomes of the others."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from prunebench.studies.executors import Options, executors
from prunebench.studies.jobs import do, jobs_of
from prunebench.studies.study import folder_of

LOCAL = executors.get("local")

MIXED = """
[[experiments]]
criterion = ["l1", "{parts}:broken", "{parts}:deadly"]
[[experiments]]
fraction = 0.6
criterion = "random"
"""


def test_runs_end_as_in_one_process_and_what_fails_or_dies_stops_no_other(small, contents, tmp_path):
    planned = small(MIXED)
    (tmp_path / "fail").touch()
    heard = []
    outcomes = list(LOCAL.run(jobs_of(planned), Options(jobs=2, told=lambda job, record: heard.append(job.key))))
    assert sorted(outcome.key for outcome in outcomes) == sorted(job.key for job in jobs_of(small(MIXED, "elsewhere")))
    keys = [each.run.key for each in planned]
    errors = {outcome.key: outcome.error for outcome in outcomes if outcome.error}
    assert set(errors) == {keys[1], keys[2]}
    assert "parts.py:broken failed: RuntimeError: the criterion is broken" in errors[keys[1]]
    assert "was killed by SIGKILL; was there enough memory?" in errors[keys[2]]
    assert {key: heard.count(key) for key in keys} == {keys[0]: 3, keys[1]: 0, keys[2]: 0, keys[3]: 3}

    (tmp_path / "fail").unlink()
    assert all(outcome.fine for outcome in LOCAL.run(jobs_of(planned), Options()))
    assert jobs_of(planned) == []
    alone = small(MIXED, "alone")
    for job in jobs_of(alone):
        assert do(job).fine
    assert contents(folder_of(planned)) == contents(folder_of(alone))


def test_what_needs_a_run_that_failed_is_not_begun(small, tmp_path):
    planned = small("[grid]\nfraction = [0.1, 0.2]\n")
    (tmp_path / "nothing").touch()
    dense, *others = LOCAL.run(jobs_of(planned), Options())
    assert "ValueError: there is no data" in dense.error
    assert [other.error for other in others] == [f"Its dense run {dense.key} failed: {dense.error}"] * 2


def test_when_asked_to_stop_the_runs_keep_what_they_have_and_no_other_begins(small, monkeypatch, contents):
    monkeypatch.setenv("PRUNEBENCH_TEST_PAUSE", "0.5")
    text = '[grid]\nseed = [0, 1]\ncriterion = ["{parts}:slow"]\n'
    planned = small(text)
    heard = []
    options = Options(told=lambda job, record: heard.append(record.step), stop=lambda: 1 in heard)
    outcomes = list(LOCAL.run(jobs_of(planned), options))
    assert [outcome.stopped for outcome in outcomes] == [False] * (len(outcomes) - 1) + [True]
    assert len(outcomes) < 4
    assert not any(outcome.error for outcome in outcomes)
    assert all(outcome.fine for outcome in LOCAL.run(jobs_of(planned), Options()))
    whole = small(text, "whole")
    assert all(outcome.fine for outcome in LOCAL.run(jobs_of(whole), Options()))
    assert contents(folder_of(planned)) == contents(folder_of(whole))


def test_a_worker_that_is_killed_holds_up_no_other_whatever_it_was_at(small, tmp_path):
    """Even where it is killed while it asks whether to stop, which would leave what that is asked of locked."""
    planned = small('[grid]\nseed = [0, 1]\ncriterion = ["{parts}:grasping"]\n')
    for job in (job for job in jobs_of(planned) if job.kind == "train"):
        assert do(job).fine
    (tmp_path / "fail").touch()
    outcomes, heard = [], []
    options = Options(jobs=2, told=lambda job, record: heard.append(job.key))
    work = threading.Thread(target=lambda: outcomes.extend(LOCAL.run(jobs_of(planned), options)), daemon=True)
    work.start()
    work.join(60)
    assert not work.is_alive(), "it hangs"
    assert sorted(bool(outcome.error) for outcome in outcomes) == [False, True]
    assert "was killed by SIGKILL" in next(outcome.error for outcome in outcomes if outcome.error)


def test_workers_end_when_the_process_that_began_them_is_killed(small, monkeypatch, tmp_path):
    monkeypatch.setenv("PRUNEBENCH_TEST_PAUSE", "1")
    small('criterion = "{parts}:slow"\n')
    command = [sys.executable, "-m", "prunebench", "study", "small.toml", "--runs-dir", "runs"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    while "step 0" not in (line := process.stderr.readline()):
        assert line, "it ended before its time"
    children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True).stdout
    process.kill()
    process.wait()
    end = time.monotonic() + 10
    alive = {int(pid) for pid in children.split()}
    assert alive
    while alive and time.monotonic() < end:
        alive = {pid for pid in alive if _lives(pid)}
        time.sleep(0.1)
    assert not alive
    process.stderr.close()


@pytest.mark.slow
def test_where_all_processes_are_asked_to_stop_no_run_is_said_to_have_failed(small, monkeypatch, tmp_path):
    """As `timeout` and systems of clusters ask: SIGTERM comes to the study and to its workers alike."""
    monkeypatch.setenv("PRUNEBENCH_TEST_PAUSE", "1")
    small('criterion = "{parts}:slow"\n')
    command = [sys.executable, "-m", "prunebench", "study", "small.toml", "--runs-dir", "runs"]
    how = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    process = subprocess.Popen(command, cwd=tmp_path, **how)
    assert process.stderr is not None
    lines = []
    while not (any("[1/2]" in line for line in lines) and "step 0" in lines[-1]):
        lines.append(process.stderr.readline())
        assert lines[-1], "it ended before its time"
    os.killpg(process.pid, signal.SIGTERM)
    rest = process.communicate(timeout=60)[1]
    assert process.returncode == 143
    assert "to do: 1 pruning run, and 1 dense run that they start from\n" in lines
    assert "[2/2] parts-unstructured-" in rest
    assert " stopped, " in rest
    assert not [word for word in ("failed", "leaked", "Traceback") if word in rest]


@pytest.mark.slow
def test_a_worker_that_alone_is_asked_to_stop_has_not_done_its_run(small, monkeypatch):
    monkeypatch.setenv("PRUNEBENCH_TEST_PAUSE", "0.5")
    planned = small('criterion = "{parts}:slow"\n')

    def told(job, record):
        if record.step == 1:
            os.kill(multiprocessing.active_children()[0].pid, signal.SIGTERM)

    *_, last = LOCAL.run(jobs_of(planned), Options(told=told))
    assert "was killed by SIGTERM" in last.error
    assert not last.stopped
    assert all(outcome.fine for outcome in LOCAL.run(jobs_of(planned), Options()))


def _lives(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat", encoding="utf-8") as state:  # noqa: PTH123
        return state.read().rpartition(")")[2].split()[0] != "Z"


def test_a_worker_is_not_stopped_by_ctrl_c_before_its_batch_is_done():
    """Ctrl-C reaches every process of a terminal; a worker leaves it to the study."""
    from prunebench.studies.executors import local

    class Pipe:
        def recv(self):
            seen.append(signal.getsignal(signal.SIGINT))
            raise EOFError

    seen, before = [], {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    ended = local._end_with_parent
    local._end_with_parent = lambda: None
    try:
        local._work(Pipe())
    finally:
        local._end_with_parent = ended
        for number, handler in before.items():
            signal.signal(number, handler)
    assert seen == [signal.SIG_IGN]


@pytest.mark.slow
def test_a_worker_that_is_killed_while_it_is_idle_is_replaced(small):
    planned = small("[grid]\nfraction = [0.1, 0.2]\n")
    outcomes = LOCAL.run(jobs_of(planned), Options(jobs=1))
    assert next(outcomes).fine
    (worker,) = multiprocessing.active_children()
    worker.kill()
    worker.join()
    assert [outcome.fine for outcome in outcomes] == [True, True]
