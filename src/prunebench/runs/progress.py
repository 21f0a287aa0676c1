"""Progress: the step of a run that is half done, in a folder of its own, which is replaced as a whole.

progress-004-9ab3…/    a checkpoint, and state.json instead of a record
  files.json           its other files with their SHA-256; its own SHA-256 is in the name of the folder
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import msgspec

from prunebench.errors import RunError
from prunebench.reading import read_plain
from prunebench.runs.files import digest, fresh, inside, move, remove, settle, sync
from prunebench.runs.manifest import encode, problem_of

LIST = "files.json"

FileName = Annotated[str, msgspec.Meta(pattern=r"^\w[\w.-]*\Z")]
"""A file of a half-done step; no text from its list names anything outside its folder."""

UNFINISHED = ("state.json", "optimizer.safetensors", "right.safetensors")
"""Files of a half-done step that a finished one does not have."""


def folders(run: Path) -> list[Path]:
    """The folders of half-done steps of a run, the newest last."""
    found = [path for path in inside(run) if path.name.startswith("progress-")]
    return sorted(found, key=changed)


def changed(path: Path) -> int:
    """When something was changed, nanoseconds since the epoch; 0 where another process has just removed it."""
    try:
        return path.lstat().st_mtime_ns
    except OSError:
        return 0


def check(progress: Path) -> None:
    """Raise RunError where a file of a half-done step is damaged or missing."""
    for name, checksum in _listed(progress).items():
        if problem := problem_of(progress / name, checksum, LIST):
            raise _damaged(progress, f"{name} {problem}")


def replacing(run: Path, step: int, write: Callable[[Path], None]) -> Callable[[], None]:
    """Have `write` fill a folder; what is returned makes it, once, the half-done step of a run in place of the last.

    That is the slow part, which another thread may do: it reads files alone. Never called, it leaves a hidden folder.
    """
    with ExitStack() as stack:
        beside = stack.enter_context(fresh(run / "progress"))
        write(beside)
        held = stack.pop_all()

    def rest() -> None:
        with held:
            listed = encode(brought(beside))
            (listing,) = written(beside, lambda folder: (folder / LIST).write_bytes(listed)).values()
            place = run / f"progress-{step:03d}-{listing}"
            settle(beside, place)
        forget(run, but=place)

    return rest


def forget(run: Path, but: Path | None = None) -> None:
    """Remove the folders of half-done steps, but for one."""
    for path in folders(run):
        if path != but:
            hidden = path.with_name(f".{path.name}")  # who is killed meanwhile leaves no half of it
            move(path, hidden)
            remove(hidden)


def link(run: Path, folder: Path) -> dict[str, str]:
    """Put the checkpoint of the half-done step into a folder too, without reading it; its files → SHA-256."""
    progress = folders(run)[-1]
    files = {name: found for name, found in _listed(progress).items() if name not in UNFINISHED}
    for name in files:
        try:
            (folder / name).hardlink_to(progress / name)
        except OSError:  # not every file system has them
            shutil.copyfile(progress / name, folder / name)
            sync(folder / name)
    return files


def written(folder: Path, write: Callable[[Path], object]) -> dict[str, str]:
    """Have `write` put files into a folder, and bring them to the disk; the new files → SHA-256."""
    before = set(folder.iterdir())
    write(folder)
    return brought(folder, but=before)


def brought(folder: Path, but: Collection[Path] = ()) -> dict[str, str]:
    """Bring the files of a folder to the disk, but for some; these → SHA-256."""
    new = [path for path in folder.iterdir() if path not in but]
    for path in (*new, folder):
        sync(path)
    return {path.name: digest(path) for path in new}


def _listed(progress: Path) -> dict[str, str]:
    """The files of a half-done step → SHA-256."""
    if problem := problem_of(progress / LIST, progress.name.rpartition("-")[2], "the name of its folder"):
        raise _damaged(progress, f"{LIST} {problem}")
    try:
        found: dict[str, str] = msgspec.json.decode(read_plain(progress / LIST), type=dict[FileName, str])
    except msgspec.MsgspecError as error:
        raise _damaged(progress, f"{LIST}: {error}") from error
    return found


def _damaged(progress: Path, problem: str) -> RunError:
    return RunError(f"{progress} is damaged: {problem}. Delete it; the command then begins the step anew.")
