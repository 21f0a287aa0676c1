"""`run.json`: what a run is, and its files with their SHA-256; and how records become JSON."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from prunebench.errors import RunError
from prunebench.reading import RECORD, read_plain
from prunebench.records import FORMAT, OLDER, other_format
from prunebench.runs import older
from prunebench.runs.files import digest

FileName = Annotated[str, msgspec.Meta(pattern=r"^(environment\.json|unit-costs\.json|steps/[0-9]{3,9}/\w[\w.-]*)\Z")]
"""A file of a run; no text from `run.json` names anything outside the run's folder."""


Key = Annotated[str, msgspec.Meta(pattern=r"^[\w-]+\Z", max_length=255)]
"""What a run is called: the name of its folder, never a path."""

ANY_SEED = "weights_of_any_seed"
"""In a stored run's settings: `any_seed` of the run that it started from, where that has the same seed."""

Kind = Literal["train", "prune", "efficiency"]

LARGEST = 4 * 2**20
"""Bytes of `run.json`, at most: it lists ten thousand steps."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """`run.json`: what a run is, its files with their SHA-256, and the SHA-256 of all this.

    `config` is the resolved configuration; `contents` holds digests of user files, local weights and local data;
    `results` is the version of prunebench's results. The key is a hash of what decides the result. `source` is the run
    that this one starts from: of a pruning run its dense run, of timings what was timed.
    """

    format: int = FORMAT
    key: Key
    kind: Kind
    config: dict[str, object]
    contents: dict[str, str]
    results: int
    source: Key | None
    created: str
    files: dict[FileName, str] = {}
    checksum: str = ""

    def sealed(self) -> Manifest:
        """The same with its own checksum."""
        bare = msgspec.structs.replace(self, checksum="")
        text = msgspec.json.encode(bare, order="deterministic")
        return msgspec.structs.replace(bare, checksum=hashlib.sha256(text).hexdigest())


class _Format(msgspec.Struct, frozen=True):
    """Of a record the number of its format alone."""

    format: Any = None


def read_manifest(path: Path) -> Manifest:
    """`run.json`, after checking it against its own checksum.

    Raises:
        RunError: it cannot be read, is damaged, or is of a format that is not read.
    """
    manifest: Manifest | None = _decoded(path, _manifest, LARGEST)
    if manifest is None:
        raise RunError(
            f"{path} is damaged: its SHA-256 is not the one that it carries. Start over with --fresh, which keeps what "
            f"is there aside."
        )
    return manifest


def _manifest(data: bytes, version: int) -> Manifest | None:
    if version in OLDER:
        found = older.upgraded_manifest(data)
        return None if found is None else msgspec.convert(found, Manifest)
    manifest = msgspec.json.decode(data, type=Manifest)
    return manifest if encode(manifest.sealed()) == data else None


def problem_of(path: Path, checksum: str, listed: str = "run.json") -> str:
    """What is wrong with a file that should have this SHA-256, as `listed` says; empty where nothing is."""
    try:
        text = path.suffix == ".json"  # tensors alone may be of any size
        found = hashlib.sha256(read_plain(path, RECORD)).hexdigest() if text else digest(path)
        return "" if found == checksum else f"is damaged: its SHA-256 is not the one in {listed}"
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def encode(thing: Any) -> bytes:
    """The JSON of a record, indented."""
    return msgspec.json.format(msgspec.json.encode(thing), indent=1) + b"\n"


def decode(path: Path, kind: Any) -> Any:
    """The record in a JSON file.

    Raises:
        RunError: it cannot be read, or is of a format that is not read.
    """

    def record(data: bytes, version: int) -> Any:
        if version in OLDER:
            return msgspec.convert(older.upgraded(msgspec.json.decode(data)), kind, str_keys=True)
        return msgspec.json.decode(data, type=kind)

    return _decoded(path, record)


def _decoded(path: Path, kind: Callable[[bytes, int], Any], at_most: int = RECORD) -> Any:
    """What `kind` makes of a file's bytes and the number of its format."""
    try:
        data = read_plain(path, at_most)
        version = msgspec.json.decode(data, type=_Format).format
        if version not in (FORMAT, *OLDER):
            raise RunError(other_format(path, version))
        return kind(data, version)
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError, AttributeError, LookupError, TypeError) as error:
        raise RunError(
            f"{path} is damaged: {error}. Start over with --fresh, which keeps what is there aside."
        ) from error
