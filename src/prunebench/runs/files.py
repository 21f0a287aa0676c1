"""Bytes on disk: written as a whole or not at all, known by their SHA-256, and clear words where there is no room."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prunebench.errors import ConfigError, DiskError

ROOM = {
    errno.ENOSPC: "no space is left on the disk",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file would be larger than this process may write",
}


WINDOWS = os.name == "nt"

PATIENCE = 2.0
"""Seconds that Windows is asked again to rename what somebody else, such as a virus scanner, has open."""


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file as a whole: readers, and a machine that loses power, see the old content or the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = unused(path)
    try:
        with beside.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        move(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync(path.parent)


def unused(place: Path) -> Path:
    """A hidden name beside a place that nothing has: what is written there is moved when it is whole.

    What is made by it has the permissions that the user's umask leaves, as `tempfile` does not let it have.
    """
    return place.with_name(f".{place.name}-{secrets.token_hex(4)}")


def move(source: Path, target: Path) -> None:
    """Rename a file or folder; a file replaces one that is there."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            source.replace(target)
            return
        except PermissionError:
            if not WINDOWS or time.monotonic() > end:
                raise
            time.sleep(0.05)


def discard(path: Path) -> None:
    """Remove a file or folder that is no part of a run any more; what Windows does not remove, since somebody has it
    open, is left for the next time."""
    try:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
    except PermissionError:
        if not WINDOWS:
            raise


def permit(path: Path) -> None:
    """Give a file the permissions that a new one beside it gets, by the user's umask."""
    beside = unused(path)
    with beside.open("xb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
    beside.unlink()
    path.chmod(mode)


def sync(path: Path) -> None:
    """Have the system bring a file, or the entries of a folder, to the disk."""
    if WINDOWS and path.is_dir():  # which it does not open
        return
    handle = os.open(path, os.O_RDWR if WINDOWS else os.O_RDONLY)  # Windows brings nothing there that is only read
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def digest(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def size(folder: Path) -> int:
    """Bytes of all files in a folder; files that vanish meanwhile count nothing."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue
    return total


def check_writable(folder: str | Path) -> None:
    """Raise ConfigError unless files can be written into a folder, or into the nearest one above that exists."""
    place = Path(folder).absolute()
    while not place.exists() and place != place.parent:  # a drive that is not there has none above
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written to ({error.strerror}); choose another folder.") from None


@contextmanager
def writing(what: str, folder: Path) -> Iterator[None]:
    """Within it, a failure to write becomes a DiskError that says what was not written and what to do."""
    try:
        yield
    except OSError as error:
        reason = ROOM.get(error.errno or 0, error.strerror or str(error))
        room = "Make room (`prunebench runs` shows what runs take, --keep last keeps one checkpoint)"
        hint = room if error.errno in ROOM else "Mend that, or choose another folder"
        raise DiskError(
            f"{what} could not be written to {folder}: {reason}. What was finished before is intact. {hint}, then give "
            f"the command again."
        ) from error
