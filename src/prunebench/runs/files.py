"""Bytes on disk: written as a whole or not at all, known by their SHA-256, and clear words where there is no room."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prunebench.errors import ConfigError, DiskError

ROOM = {
    errno.ENOSPC: "no space is left on the disk",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file would be larger than this process may write",
}


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file as a whole: readers, and a machine that loses power, see the old content or the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, beside = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(beside).chmod(0o644)
        Path(beside).replace(path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise
    sync(path.parent)


def sync(path: Path) -> None:
    """Have the system bring a file, or the entries of a folder, to the disk."""
    if os.name == "nt" and path.is_dir():  # Windows opens no folders
        return
    handle = os.open(path, os.O_RDONLY)
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
    while not place.exists():
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
