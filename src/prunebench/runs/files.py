"""Files of ours: whatever is written, moved or deleted goes through here, and nothing does so through a link.

A folder of runs may come from anywhere, and links in it lead out of it. Files are written as a whole or not at all, are
known by their SHA-256, and where there is no room that is said in clear words.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from prunebench.errors import ConfigError, DiskError
from prunebench.reading import kind_of, read_plain, sha256

ROOM = {
    errno.ENOSPC: "no space is left on the disk",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file would be larger than this process may write",
}

WINDOWS = os.name == "nt"

PATIENCE = 2.0
"""Seconds that Windows is asked again to rename what somebody else, such as a virus scanner, has open."""

MARK = "run.json"
"""The file that makes a folder that of a run."""

RUN = (MARK, "environment.json")
"""Files that no other folder has both of."""


def own(root: Path, *parts: str) -> Path:
    """A path below a folder, which itself may be a link, since the user has named it.

    Raises:
        DiskError: a part of it is a link.
    """
    place = root
    for part in parts:
        place /= part
        if place.is_symlink():
            raise DiskError(
                f"{place} is a link. Inside a folder of runs nothing is written, moved or deleted through links: "
                f"remove it, or put there what it leads to."
            )
    return place


def inside(folder: Path) -> list[Path]:
    """What is in a folder, by name; nothing where it is a link or no folder."""
    with suppress(FileNotFoundError, NotADirectoryError):
        return [] if folder.is_symlink() else sorted(folder.iterdir())
    return []


def make(folder: Path) -> None:
    """Make a folder, and those above it; another process may remove it meanwhile."""
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return
        except FileExistsError:
            with suppress(FileNotFoundError):
                if not stat.S_ISDIR(folder.lstat().st_mode):
                    raise


def move(source: Path, target: Path) -> None:
    """Rename a file or folder, or a link itself; a file replaces one that is there."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            source.replace(target)
            return
        except PermissionError:
            if not WINDOWS or time.monotonic() > end:
                raise
            time.sleep(0.05)


def remove(path: Path) -> None:
    """Delete a file, or a folder with all that is in it; of a link the link itself.

    What Windows does not delete, since somebody has it open, is left for the next time.
    """
    try:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
    except PermissionError:
        if not WINDOWS:
            raise


def discard(path: Path) -> None:
    """Delete what is no longer needed, where that can be done: while an error is on its way, another would hide it."""
    with suppress(OSError):
        remove(path)


def remove_empty(folder: Path) -> None:
    """Delete a folder unless there is anything in it."""
    with suppress(OSError):
        folder.rmdir()


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file as a whole: readers, and a machine that loses power, see the old content or the new.

    Raises:
        OSError: it cannot be written, or what is there is no plain file.
    """
    check_replaceable(path)
    make(path.parent)
    beside = unused(path)
    try:
        with beside.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        replace(beside, path)
    except BaseException:
        discard(beside)
        raise


def holds(path: Path, data: bytes) -> bool:
    """Whether a plain file, and no link, has this very content."""
    try:
        return not path.is_symlink() and read_plain(path, len(data)) == data
    except OSError:
        return False


def write_new(path: Path, data: bytes) -> None:
    """Make a file where there is none; readers, and a machine that loses power, may see a part of it."""
    with path.open("xb") as file:
        file.write(data)


@contextmanager
def fresh(place: Path) -> Iterator[Path]:
    """A new folder beside a place, of which nothing is left at the end unless `settle` has given it one."""
    folder = unused(place)
    folder.mkdir()
    try:
        yield folder
    finally:
        discard(folder)


def settle(folder: Path, place: Path) -> None:
    """Give a folder its place, as a whole; what was there is removed."""
    remove(place)
    move(folder, place)
    sync(place.parent)


def replace(file: Path, place: Path) -> None:
    """Give a file its place, as a whole; only a plain file that was there is replaced."""
    check_replaceable(place)
    move(file, place)
    sync(place.parent)


def check_replaceable(path: Path) -> None:
    """Raise OSError unless a path is free, or that of a plain file, which a new one may replace."""
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    if kind := kind_of(mode):
        raise OSError(errno.EEXIST, f"it is {kind}, and no plain file", str(path))


def check_output(path: Path, folder: bool = False) -> None:
    """Raise ConfigError unless a user's file, or a folder, may be written there; nothing is made.

    What is no plain file is not replaced, and in the folder of a run nothing writes but the run.
    """
    if folder and path.exists() and not path.is_dir():
        raise ConfigError(f"{path} is no folder; give the name of one, or of one that is to be made.")
    try:
        if not folder:
            check_replaceable(path)
        real = path.parent.resolve() / path.name
        run = next((above for above in (real, *real.parents) if all((above / name).exists() for name in RUN)), None)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", "") or str(error)
        hint = f", such as {path / 'FILE'}" if path.is_dir() else ""
        raise ConfigError(f"{path} cannot be written: {reason}. Give the name of a file{hint}.") from None
    if run is not None:
        raise ConfigError(f"{path} is inside the run {run.name}, where only the run itself writes; give another place.")
    check_writable(path if folder else path.parent)


def unused(place: Path) -> Path:
    """A hidden name beside a place that nothing has: what is written there is moved when it is whole.

    What is made by it has the permissions that the user's umask leaves, as `tempfile` does not let it have.
    """
    return place.with_name(f".{place.name[:100]}-{secrets.token_hex(4)}")


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
    """SHA-256 of a plain file, hexadecimal."""
    return sha256(path)


def size(folder: Path) -> int:
    """Bytes of all files in a folder; files that vanish meanwhile count nothing, and links are not followed."""
    return _size(str(folder))


def _size(folder: str) -> int:
    total = 0
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    total += _size(entry.path)
                elif not entry.is_dir():  # which a link to a folder is
                    total += entry.stat(follow_symlinks=False).st_size
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
