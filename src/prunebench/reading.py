"""Reading: files that may come from anywhere are opened only where they are plain files, and read up to a bound.

A pipe would wait for ever, a device never end, and a sparse file fill the memory. What is refused is an OSError whose
`strerror` says why, so that whoever reports what cannot be read reports this too.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from io import BufferedReader
from pathlib import Path

TEXT = 16 * 2**20
"""Bytes of a text that somebody wrote, at most: settings, source code, a list of files."""

RECORD = 64 * 2**20
"""Bytes of a record or a matrix, at most: a timing of a tiny model holds a million samples."""

KINDS = {
    stat.S_IFLNK: "a link",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def kind_of(mode: int) -> str:
    """What something with this `st_mode` is, if it is no plain file; empty for one."""
    return "" if stat.S_ISREG(mode) else KINDS.get(stat.S_IFMT(mode), "something else")


def open_plain(path: str | Path) -> BufferedReader:
    """Open a plain file to read its bytes.

    Raises:
        OSError: it cannot be opened, or is a pipe, a device, or a folder.
    """
    _check(os.stat(path), path)  # noqa: PTH116 — before it is opened: of some devices that alone does something
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))
    try:
        _check(os.fstat(handle), path)
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def _check(about: os.stat_result, path: str | Path) -> None:
    kind = kind_of(about.st_mode)
    if kind == KINDS[stat.S_IFDIR]:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if kind:
        raise OSError(errno.EINVAL, f"it is {kind}, and no plain file", str(path))


def check_plain(path: str | Path) -> None:
    """Raise OSError unless a path is that of a plain file: for libraries that open it themselves."""
    _check(os.stat(path), path)  # noqa: PTH116 — as above


def read_plain(path: str | Path, at_most: int = TEXT) -> bytes:
    """The bytes of a plain file.

    Raises:
        OSError: as `open_plain`, or it holds more than `at_most` bytes.
    """
    with open_plain(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size <= at_most:
            data = file.read(size + 1)
            while len(data) <= at_most:
                if not (more := file.read(2**20)):
                    return data
                data += more
    raise OSError(errno.EFBIG, f"it is larger than {at_most // 2**20} MiB", str(path))


def sha256(path: str | Path) -> str:
    """SHA-256 of a plain file, hexadecimal; raises as `open_plain`."""
    with open_plain(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_text(path: str | Path, encoding: str = "utf-8", at_most: int = TEXT) -> str:
    """The text of a plain file, its lines ending as `open` has them end; raises as `read_plain`, and UnicodeError."""
    text = read_plain(path, at_most).decode(encoding)
    return text.replace("\r\n", "\n").replace("\r", "\n")
