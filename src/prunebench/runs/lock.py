"""Locks: one process at a time computes a run. The system frees the lock of a process that dies.

Only the lock tells whether a run is computed; the note beside it, which may be old or anybody's, tells by whom. Both
lie beside the run, which may be renamed or removed, and are gone when nobody holds it.
"""

from __future__ import annotations

import errno
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec

from prunebench.errors import RunLocked
from prunebench.reading import read_plain
from prunebench.runs.files import discard, make, own, remove_empty, write_new

FOLDER = ".locks"

SECONDS_FOR_ORPHANS = 15.0
"""How long the worker processes of a killed one may live on, with its lock."""

SECONDS_FOR_NOTE = 0.5
"""How long a lock may be held by somebody who has not said so yet, or only looks whether it is held."""

Short = Annotated[str, msgspec.Meta(max_length=255)]


class Holder(msgspec.Struct, frozen=True):
    """Who computes a run: what a note says."""

    pid: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
    host: Short
    since: Short
    command: Short

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
        DiskError: the run is a link, or its lock is.
        OSError: the lock cannot be written.
    """
    lock, note = _places(folder)
    handle = _acquired(folder, lock)
    try:
        now = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        who = Holder(os.getpid(), platform.node()[:255], now, Path(sys.argv[0]).name[:255])
        discard(note)
        with suppress(OSError):  # it is only told to others, and a full disk must not keep a run from being deleted
            write_new(note, msgspec.json.encode(who))
        yield
    finally:
        discard(note)
        if os.name == "nt":  # where nobody can delete an open file
            _unlock(handle)
            discard(lock)
        else:
            discard(lock)
            _unlock(handle)
        remove_empty(lock.parent)


def locked(folder: Path) -> bool:
    """Whether a process computes the run of a folder."""
    lock = folder.absolute().parent / FOLDER / f"{folder.name}.lock"
    try:
        handle = os.open(lock, os.O_RDONLY | _FLAGS)
    except OSError:
        return False
    try:
        return not _try(handle, alone=False)
    except OSError:  # it is none that could be locked
        return False
    finally:
        _unlock(handle)


def holder(folder: Path) -> Holder | None:
    """Who computes the run of a folder, as the lock and the note beside it say; None where nobody does, or is named."""
    return _noted(folder) if locked(folder) else None


def _noted(folder: Path) -> Holder | None:
    try:
        note = folder.absolute().parent / FOLDER / f"{folder.name}.json"
        return msgspec.json.decode(read_plain(note, 2**16), type=Holder)
    except (OSError, ValueError, RecursionError):
        return None


def _places(folder: Path) -> tuple[Path, Path]:
    """The lock of a run, and the note of who holds it."""
    root = folder.absolute().parent
    own(root, folder.name)
    return own(root, FOLDER, f"{folder.name}.lock"), root / FOLDER / f"{folder.name}.json"


def _acquired(folder: Path, lock: Path) -> int:
    """The open file of a lock that this process now holds."""
    begun = time.monotonic()
    while True:
        make(lock.parent)
        with suppress(FileNotFoundError):  # its folder was removed meanwhile
            handle = os.open(lock, os.O_RDWR | os.O_CREAT | _FLAGS, 0o644)
            try:
                if _try(handle, alone=True) and _is_at(handle, lock):
                    return handle
            except BaseException:
                os.close(handle)
                raise
            os.close(handle)
            found, waited = _noted(folder), time.monotonic() - begun
            if waited > SECONDS_FOR_ORPHANS or (found.alive() if found else waited > SECONDS_FOR_NOTE):
                raise RunLocked(_told(folder, found))
            time.sleep(0.05)


def _is_at(handle: int, lock: Path) -> bool:
    """Whether a file is still at its place: who held it before may have removed it."""
    try:
        return os.path.samestat(os.fstat(handle), lock.lstat())
    except FileNotFoundError:
        return False


def _told(folder: Path, found: Holder | None) -> str:
    if found is None:
        return f"Another process computes the run {folder.name}. Wait until it has finished."
    return (
        f"The run {folder.name} is being computed by process {found.pid} ({found.command}) on {found.host} since "
        f"{found.since}. Wait until it has finished, or stop it:  kill {found.pid}"
    )


# The system's locks: of the file, and so of the process that has it open and of those that inherited it.

_FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)

if sys.platform == "win32":
    import msvcrt

    def _try(handle: int, *, alone: bool) -> bool:
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EDEADLK):
                return False
            raise
        return True

    def _unlock(handle: int) -> None:
        with suppress(OSError):
            msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)
        os.close(handle)

else:
    import fcntl

    def _try(handle: int, *, alone: bool) -> bool:
        """Lock a file without waiting, for this process alone or for all who look; whether that could be done."""
        try:
            fcntl.flock(handle, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                return False
            raise
        return True

    def _unlock(handle: int) -> None:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_UN)
        os.close(handle)
