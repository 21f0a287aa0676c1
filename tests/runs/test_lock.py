"""One process at a time computes a run; a process that dies, however, frees it. The other processes here are real."""

import os
import platform
import re
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime
from pathlib import Path

import pytest

from prunebench.errors import RunLocked
from prunebench.runs import lock
from prunebench.runs.lock import held, holder, locked

HOLD = """
import os, subprocess, sys, time
from pathlib import Path
from prunebench.runs.lock import held
with held(Path(sys.argv[1])):
    if len(sys.argv) > 2:  # a worker that lives on with the open files that it inherited
        opened = [int(number) for number in os.listdir("/proc/self/fd")
                  if os.path.realpath(f"/proc/self/fd/{number}").endswith(".lock")]
        assert len(opened) == 1
        subprocess.Popen(["sleep", sys.argv[2]], pass_fds=opened, stdout=subprocess.DEVNULL)
    print("held", flush=True)
    time.sleep(60)
"""
PROC = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are not listed here")


WHO = b'{"pid": %d, "host": "", "since": "", "command": ""}'


@pytest.fixture
def folder(tmp_path):
    """A run's folder, as yet without anything in it."""
    (tmp_path / "runs" / "tiny-0").mkdir(parents=True)
    return tmp_path / "runs" / "tiny-0"


@pytest.fixture
def other():
    """Starts another process that holds the lock of a folder."""
    started = []

    def start(folder, *arguments):
        command = [sys.executable, "-c", HOLD, str(folder), *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def die(process):
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_a_second_process_is_refused_and_told_by_whom_where_and_since_when(folder, other):
    before = datetime.now().astimezone().replace(microsecond=0)
    process = other(folder)
    with pytest.raises(RunLocked) as caught, held(folder):
        raise AssertionError("both hold it")
    text = str(caught.value)
    assert f"The run tiny-0 is being computed by process {process.pid} (-c) on {platform.node()} since " in text
    assert f"kill {process.pid}" in text
    since = datetime.fromisoformat(re.search(r"since (\S+ [\d:]+\+[\d:]+)\.", text).group(1))
    assert before <= since <= datetime.now().astimezone()
    assert process.poll() is None
    assert holder(folder).pid == process.pid


def test_a_process_that_was_killed_blocks_nobody(folder, other):
    die(other(folder))
    assert holder(folder) is None
    begun = time.monotonic()
    with held(folder):
        assert holder(folder).pid == os.getpid()
    assert time.monotonic() - begun < 0.2


@PROC
def test_a_lock_that_a_killed_process_left_to_its_worker_is_waited_for(folder, other):
    begun = time.monotonic()
    die(other(folder, "1"))
    with held(folder):
        waited = time.monotonic() - begun
    assert 0.5 < waited < lock.SECONDS_FOR_ORPHANS


@PROC
def test_a_worker_that_outlives_its_process_for_long_is_told(folder, other, monkeypatch):
    monkeypatch.setattr(lock, "SECONDS_FOR_ORPHANS", 0.1)
    process = other(folder, "2")
    die(process)
    with pytest.raises(RunLocked, match=f"process {process.pid}"), held(folder):
        raise AssertionError("both hold it")


def test_the_same_process_does_not_hold_a_run_twice(folder):
    with held(folder):
        with pytest.raises(RunLocked, match=f"process {os.getpid()}"), held(folder):
            raise AssertionError("held twice")
        assert holder(folder).pid == os.getpid()
        with pytest.raises(RunLocked), held(folder):
            raise AssertionError("held twice")


def test_a_run_is_free_again_after_work_that_failed(folder):
    with pytest.raises(KeyError), held(folder):
        raise KeyError
    assert holder(folder) is None
    with held(folder):
        pass


def test_nothing_is_left_in_the_runs_folder_and_no_folder_is_made(folder):
    with held(folder), held(folder.parent / "not-yet"):
        assert list(folder.iterdir()) == []
        assert not (folder.parent / "not-yet").exists()
    assert list(folder.iterdir()) == []
    assert list(folder.parent.glob(".locks/*.json")) == []


def test_what_is_nobodys_is_gone_when_nobody_holds_anything(folder):
    with held(folder):
        with held(folder.parent / "tiny-1"):
            assert len(list((folder.parent / ".locks").iterdir())) == 4
        assert {path.name for path in (folder.parent / ".locks").iterdir()} == {"tiny-0.lock", "tiny-0.json"}
    assert [path.name for path in folder.parent.iterdir()] == ["tiny-0"]


def test_locks_that_are_removed_let_one_at_a_time_in(folder, tmp_path):
    """Whoever holds one removes it, so that others may have an older file open, which then locks nothing."""
    count, inside, most = tmp_path / "count", [], []
    count.write_text("0")

    def work():
        done = 0
        while done < 15:
            try:
                with held(folder):
                    inside.append(1)
                    most.append(len(inside))
                    number = int(count.read_text())
                    time.sleep(0.001)
                    count.write_text(str(number + 1))
                    inside.pop()
                    done += 1
            except RunLocked:
                continue

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert (count.read_text(), max(most)) == ("60", 1)


def test_the_lock_is_believed_and_not_the_note_beside_it(folder):
    note = folder.parent / ".locks" / "tiny-0.json"
    with held(folder):
        told = note.read_bytes()
        assert (locked(folder), holder(folder).pid) == (True, os.getpid())
        note.unlink()
        assert (locked(folder), holder(folder)) == (True, None)
    note.parent.mkdir()
    note.write_bytes(told)  # as one that was killed leaves it, whose number another process has now
    assert (locked(folder), holder(folder)) == (False, None)
    (note.parent / "tiny-0.lock").touch()
    assert (locked(folder), holder(folder)) == (False, None)
    with held(folder):
        assert holder(folder).pid == os.getpid()


def test_looking_whether_a_run_is_computed_keeps_nobody_from_computing_it(folder):
    looking = threading.Event()

    def look():
        while not looking.is_set():
            locked(folder)

    looker = threading.Thread(target=look)
    looker.start()
    try:
        for _ in range(100):
            with held(folder):
                assert holder(folder).pid == os.getpid()
    finally:
        looking.set()
        looker.join()


def test_two_runs_do_not_block_each_other(folder, other):
    process = other(folder)
    with held(folder.parent / "tiny-1"):
        assert holder(folder).pid == process.pid
        assert holder(folder.parent / "tiny-1").pid == os.getpid()


def test_a_run_can_be_renamed_while_it_is_held(folder):
    with held(folder):
        folder.rename(folder.parent / "aside")
    assert [path.name for path in folder.parent.iterdir()] == ["aside"]


@pytest.mark.parametrize("content", [b"", b"[]", b'{"pid": "one"}', b"\xff\xfe", WHO % 2**70, WHO % 0, WHO % -1])
def test_a_damaged_note_of_who_holds_it_blocks_nobody_and_frees_nothing(content, folder, other):
    note = folder.parent / ".locks" / "tiny-0.json"
    note.parent.mkdir()
    note.write_bytes(content)
    with held(folder):
        pass
    other(folder)
    note.write_bytes(content)
    with pytest.raises(RunLocked, match="Another process computes the run tiny-0"), held(folder):
        raise AssertionError("both hold it")


def test_a_holder_on_another_machine_counts_as_alive(folder):
    assert lock.Holder(2**22 + 1, "another-machine", "", "").alive()
    assert not lock.Holder(2**22 + 1, platform.node(), "", "").alive()


def test_windows_leaves_the_name_of_a_holder_that_somebody_reads_and_frees_the_lock(folder, monkeypatch):
    def refused(path, missing_ok=False):
        raise PermissionError(13, "The process cannot access the file: it is used by another process")

    with monkeypatch.context() as patch, held(folder):
        patch.setattr(Path, "unlink", refused)
    assert len(list((folder.parent / ".locks").iterdir())) == 2
    assert holder(folder) is None  # the note is old
    with held(folder):
        pass
    assert not (folder.parent / ".locks").exists()
