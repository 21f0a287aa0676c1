"""Locks: one process at a time computes a run. The system frees the lock of a process that dies."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

import msgspec
from filelock import FileLock, Timeout

from prunebench.errors import RunLocked

SECONDS_FOR_ORPHANS = 15.0
"""How long the worker processes of a killed one may live on, with its lock."""


class Holder(msgspec.Struct, frozen=True):
    """Who computes a run."""

    pid: int
    host: str
    since: str
    command: str

    def alive(self) -> bool:
        """Whether the process lives, as far as this machine can tell."""
        if self.host != platform.node() or os.name == "nt":  # on Windows the question below would end the process
            return True
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:  # somebody else's process
            return True
        return True


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the lock of a run's folder, which need not exist.

    Raises:
        RunLocked: another process holds it; the message says which.
    """
    places = _places(folder)
    places[0].parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(places[0])
    end = time.monotonic() + SECONDS_FOR_ORPHANS
    while True:
        try:
            lock.acquire(timeout=0)
            break
        except Timeout:
            found = holder(folder, dead_too=True)
            if found is None or found.alive() or time.monotonic() > end:
                raise RunLocked(_told(folder, found)) from None
            time.sleep(0.2)
    try:
        now = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        command = Path(sys.argv[0]).name
        with suppress(OSError):  # it is only told to others, and a full disk must not keep a run from being deleted
            places[1].write_bytes(msgspec.json.encode(Holder(os.getpid(), platform.node(), now, command)))
        yield
    finally:
        with suppress(OSError):  # somebody reads it, and Windows leaves it there; who holds the lock is who counts
            places[1].unlink()
        lock.release()


def holder(folder: Path, *, dead_too: bool = False) -> Holder | None:
    """Who computes the run of a folder, or None."""
    try:
        found = msgspec.json.decode(_places(folder)[1].read_bytes(), type=Holder)
    except (OSError, msgspec.MsgspecError):
        return None
    return found if dead_too or found.alive() else None


def _places(folder: Path) -> tuple[Path, Path]:
    """The lock, and the file that says who holds it, both beside the run, which may be renamed or removed."""
    beside = folder.absolute().parent / ".locks"
    return beside / f"{folder.name}.lock", beside / f"{folder.name}.json"


def _told(folder: Path, found: Holder | None) -> str:
    if found is None:
        return f"Another process computes the run {folder.name}. Wait until it has finished."
    return (
        f"The run {folder.name} is being computed by process {found.pid} ({found.command}) on {found.host} since "
        f"{found.since}. Wait until it has finished, or stop it:  kill {found.pid}"
    )
