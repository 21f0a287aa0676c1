"""The record of a study, `study.json` in its folder: its file's text, its runs, and the comparisons that it fixes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from prunebench.comparison.family import Family, Fixed
from prunebench.config import field_types
from prunebench.errors import ConfigError, RunError
from prunebench.experiment.experiment import Experiment
from prunebench.reading import read_plain
from prunebench.records import FORMAT
from prunebench.runs.files import holds, own, write_atomically, writing
from prunebench.studies.families import family_of
from prunebench.studies.stopping import done
from prunebench.studies.study import Study, combined, folder_of

FILE = "study.json"
"""In the study's folder: what it consists of."""


class StudyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """`study.json`: the study's file, by its text and its path from this one's folder, and the keys of its runs.

    `family` holds the comparisons that the file fixes, None where it fixes none; `fixed` when that was, and what was
    changed since. `set` holds settings of every run that are others than the file's, as `--set` takes them.
    """

    format: int = FORMAT
    name: str
    source: str
    runs: tuple[str, ...]
    file: str = ""
    set: tuple[str, ...] = ()
    family: Family | None = None
    fixed: tuple[Fixed, ...] = ()


def record_of(study: Study, planned: Sequence[Experiment]) -> StudyRecord:
    """What a study consists of.

    Raises:
        ConfigError: what it compares is no part of it.
    """
    keys, root = tuple(each.run.key for each in planned), folder_of(planned).resolve()
    try:
        file = os.path.relpath(study.file, root)
    except ValueError:  # on Windows, another drive
        file = study.file
    family = _family(study, planned)
    fixed = _fixed(study, planned, family) if family is not None and study.comparisons is not None else ()
    return StudyRecord(
        name=study.name, source=study.source, runs=keys, file=file, set=study.sets, family=family, fixed=fixed
    )


def read_record(folder: Path) -> StudyRecord | None:
    """`study.json` of a study's folder; None where there is none.

    Raises:
        RunError: it cannot be read.
    """
    path = folder / FILE
    try:
        return msgspec.json.decode(read_plain(path), type=StudyRecord)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path} cannot be read: {error}. Give the `study` command again, which writes it.") from error


def check_name(study: Study, planned: Sequence[Experiment]) -> None:
    """Raise ConfigError where the study's folder is that of another file of the same name, which is still there."""
    there = _there(planned)
    other = (folder_of(planned).resolve() / (there.file if there else "")).resolve()
    if there is not None and there.file and str(other) != study.file and other.is_file():
        raise ConfigError(
            f"{folder_of(planned)} holds the study of {other}, another file of this name. Rename one of the two, or "
            f"give --runs-dir."
        )


def write_study(study: Study, planned: Sequence[Experiment]) -> None:
    """Write `study.json` into the study's folder, and note that the user has given the code that it names."""
    for experiment in planned:
        experiment.note_code()
    record = record_of(study, planned)
    root = folder_of(planned)
    path = own(root.parent, root.name, FILE)
    content = msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n"
    with writing(f"The study {study.name}", path.parent):
        if not holds(path, content):
            write_atomically(path, content)


def _there(planned: Sequence[Experiment]) -> StudyRecord | None:
    """What stands in the study's folder; None where nothing does that can be read, since it is written anew."""
    try:
        return read_record(folder_of(planned))
    except RunError:
        return None


def _family(study: Study, planned: Sequence[Experiment]) -> Family | None:
    """The comparisons that the study's file fixes, of the runs that are planned."""
    if study.comparisons is None:
        return None
    keys = {each.run.key for each in combined(study, str(folder_of(planned).parent))}
    grid = [each for each in planned if each.run.key in keys or not each.method.removes]
    in_bases = {name for name in field_types() if len({repr(getattr(base, name)) for base in study.bases}) > 1}
    return family_of(study.name, study.comparisons, grid, {*study.grid, *in_bases})


def _fixed(study: Study, planned: Sequence[Experiment], family: Family) -> tuple[Fixed, ...]:
    """When the comparisons were fixed, and every change to them since a run was finished."""
    there = _there(planned)
    before = there.fixed if there is not None else ()
    if before and before[-1].digest == family.digest:
        return before
    finished = sum(done(each.run, each) for each in planned)
    assert study.comparisons is not None
    now = Fixed(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        finished=finished,
        runs=len(planned),
        pairs=family.size,
        digest=family.digest,
        text=study.comparisons.text,
    )
    return (*before, now) if finished else (now,)
