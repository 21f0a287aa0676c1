"""Digests of data: SHA-256 of files that may be many, read again only where they have changed, kept beside the runs.

What is known of the files of one folder of data is one file in the runs' folder. A file is taken for unchanged while
its size, its times and its inode are; one that changed so shortly before it was read that a later change could bear the
same time is read again (git calls such files racy). What a check found in a file is kept with the digest of the
content that it saw, so it holds for as long as the content does, whatever the times say.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import islice
from pathlib import Path

import msgspec

from prunebench.errors import DataError, DiskError
from prunebench.reading import open_plain, read_plain
from prunebench.runs.files import own, write_atomically

FOLDER = ".digests"
THREADS = 8
"""Reading many small files is waiting for the disk, mostly."""

CHUNK = 256
"""Files that a thread reads before it takes others."""

UNSETTLED, COARSE = 20_000_000, 2_000_000_000
"""Nanoseconds for which a file's time may stand still while it is written to: Linux's clock of files moves every 4 to
10 ms; FAT's, and that of other systems that keep whole seconds, every two seconds."""

LARGEST = 2**30
"""Bytes of the digests of one folder of data, at most: of millions of files."""

NAMED = 10
"""Files that an error names, at most."""

log = logging.getLogger(__name__)

Stamp = tuple[int, int, int, int]
"""Size, time of content and time of status in nanoseconds, and inode."""

NO_STAMP: Stamp = (0, 0, 0, 0)


class Known(msgspec.Struct, frozen=True, array_like=True):
    """What is known of a file: its stamp when it was read, the SHA-256 of its content, and what a check found."""

    stamp: Stamp
    sha256: str
    found: str = ""


_held: ContextVar[dict[Path, Mapping[str, Known]] | None] = ContextVar("_held", default=None)
"""What is known of the files of folders where it is not to be written: by where it would be."""


@contextmanager
def nothing_kept() -> Iterator[None]:
    """Within it what is read is remembered no longer than that: nothing is written."""
    token = _held.set({})
    try:
        yield
    finally:
        _held.reset(token)


def digests_of(files: Iterable[Path], data_dir: Path, runs_dir: Path | str) -> dict[Path, str]:
    """SHA-256, hexadecimal, of every file's content, in their order; only new and changed files are read.

    Args:
        files: any files; most of them below `data_dir`.
        data_dir: the folder that they are files of, whose path says where digests are kept.
        runs_dir: the folder of runs that they are kept in. Where it cannot be written to, all is read each time.

    Raises:
        DataError: files cannot be read; it names them.
    """
    return {path: known.sha256 for path, known in _known(files, data_dir, runs_dir).items()}


def findings(files: Iterable[Path], data_dir: Path, runs_dir: Path | str) -> dict[Path, str]:
    """What `remember` was told of the contents that the files have now; empty where it was told nothing.

    Raises:
        DataError: files cannot be read; it names them.
    """
    return {path: known.found for path, known in _known(files, data_dir, runs_dir).items()}


def remember(found: Mapping[Path, str], data_dir: Path, runs_dir: Path | str) -> None:
    """Keep what a check found in files whose digests are known. What has changed since is not kept."""
    kept, names = _read(data_dir, runs_dir), _names(found, data_dir)
    for path, name in names.items():
        known = kept.get(name)
        if known is not None and (known.stamp in (NO_STAMP, _stamp(path))):
            kept[name] = Known(known.stamp, known.sha256, found[path])
    _write(kept, data_dir, runs_dir)


def listed(names: Sequence[object]) -> str:
    """Names for a message: all of them, up to ten, and how many others there are."""
    others = f" and {len(names) - NAMED:,} others" if len(names) > NAMED else ""
    return ", ".join(map(shown, names[:NAMED])) + others


def counted(count: int, noun: str) -> str:
    """`1 epoch`, `1,437 samples`, `2 classes`."""
    ending = "" if count == 1 else "es" if noun.endswith("s") else "s"
    return f"{count:,} {noun}{ending}"


def shown(name: object) -> str:
    """A name for a message, on one line: signs that move the cursor by their number; bytes that are no UTF-8 stay."""
    return "".join(
        sign if sign.isprintable() or "\udc80" <= sign <= "\udcff" else repr(sign)[1:-1] for sign in str(name)
    )


def _known(files: Iterable[Path], data_dir: Path, runs_dir: Path | str) -> dict[Path, Known]:
    kept, names = _read(data_dir, runs_dir), _names(files, data_dir)
    stamps = {path: _stamp(path) for path in names}
    stale = [path for path, name in names.items() if name not in kept or kept[name].stamp != stamps[path]]
    if stale:
        if len(stale) > 10 * CHUNK:
            log.info("reading %s files of data, to know them again", f"{len(stale):,}")
        broken = []
        for path, read in zip(stale, _in_threads(stale), strict=True):
            if isinstance(read, OSError):
                broken.append(f"{path} ({read.strerror or read})")
                continue
            before = kept.get(names[path])
            same = before is not None and before.sha256 == read.sha256
            kept[names[path]] = Known(read.stamp, read.sha256, before.found) if same and before else read
        if broken:
            raise DataError(f"{len(broken)} of {len(names)} files of data cannot be read: {listed(broken)}.")
        _write(kept, data_dir, runs_dir)
    return {path: kept[name] for path, name in names.items()}


def _in_threads(paths: Sequence[Path]) -> Iterable[Known | OSError]:
    rest = iter(paths)
    chunks = list(iter(lambda: list(islice(rest, CHUNK)), []))
    if len(chunks) == 1:
        return _all_read(chunks[0])
    with ThreadPoolExecutor(THREADS) as pool:
        return [known for chunk in pool.map(_all_read, chunks) for known in chunk]


def _all_read(paths: Sequence[Path]) -> list[Known | OSError]:
    return [_digested(path) for path in paths]


def _digested(path: Path) -> Known | OSError:
    """The digest of a file, with its stamp unless it was, or may have been, written to while it was read."""
    try:
        with open_plain(path) as file:
            before, now = _stamp_of(os.fstat(file.fileno())), time.time_ns()
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            after = _stamp_of(os.fstat(file.fileno()))
    except OSError as error:
        return error
    changed = max(before[1], before[2]) if os.name == "nt" else before[2]
    settled = now - changed > (COARSE if changed % 1_000_000_000 == 0 else UNSETTLED)
    return Known(before if settled and before == after else NO_STAMP, sha256)


def _stamp(path: Path) -> Stamp | None:
    try:
        return _stamp_of(os.stat(path))  # noqa: PTH116 — half the time of Path.stat, for 50,000 files
    except OSError:
        return None


def _stamp_of(stat: os.stat_result) -> Stamp:
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino


def _names(files: Iterable[Path], data_dir: Path) -> dict[Path, str]:
    """File → what it is called in the kept file: below the folder, its path in it; names need not be UTF-8."""
    inside = os.path.join(data_dir, "")  # noqa: PTH118 — strings, for speed
    texts = {path: str(path) for path in files}
    return {
        path: _text(text[len(inside) :] if text.startswith(inside) else os.path.abspath(text))  # noqa: PTH100
        for path, text in texts.items()
    }


def _text(name: str) -> str:
    return name if name.isascii() else os.fsencode(name).decode("latin-1")


def _place(data_dir: Path, runs_dir: Path | str) -> Path:
    folder = os.fsencode(os.path.abspath(data_dir))  # noqa: PTH100 — links are followed when files are read
    return Path(runs_dir) / FOLDER / f"{hashlib.sha256(folder).hexdigest()[:32]}.json"


def _read(data_dir: Path, runs_dir: Path | str) -> dict[str, Known]:
    place, held = _place(data_dir, runs_dir), _held.get()
    if held and place in held:
        return dict(held[place])
    try:
        return msgspec.json.decode(read_plain(place, LARGEST), type=dict[str, Known])
    except (OSError, ValueError, RecursionError):  # none yet, or damaged: everything is read again
        return {}


def _write(kept: Mapping[str, Known], data_dir: Path, runs_dir: Path | str) -> None:
    place, held = _place(data_dir, runs_dir), _held.get()
    if held is not None:
        held[place] = dict(kept)
        return
    try:
        write_atomically(own(Path(runs_dir), FOLDER, place.name), msgspec.json.encode(kept))
    except (OSError, DiskError) as error:
        reason = getattr(error, "strerror", None) or error
        log.info("digests of data cannot be kept in %s (%s): it is read again each time", runs_dir, reason)
