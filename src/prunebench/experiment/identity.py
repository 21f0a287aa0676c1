"""Identity: what a run is called. Its key is a hash of what decides its result: settings, and contents of files."""

from __future__ import annotations

import fnmatch
import hashlib
import inspect
import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from prunebench.config import LATER, RunConfig, Settings, deciding, default, field_types, is_weight_file
from prunebench.data.dataset import Dataset, DatasetEntry
from prunebench.models.architecture import models
from prunebench.models.exported import is_export
from prunebench.models.normalisation import statistics_beside, told
from prunebench.pruning.amounts import target
from prunebench.pruning.registry import methods
from prunebench.registry import content, is_code, reference, source_of, without_folder
from prunebench.runs.digests import digests_of
from prunebench.runs.environment import distributions
from prunebench.runs.index import any_seed, identify
from prunebench.runs.manifest import ANY_SEED, Kind, Manifest
from prunebench.runs.run import Run
from prunebench.runs.user_files import digest_of_defined, digest_with_imports, installed
from prunebench.user_code import digest

NAMES = ("model", "dataset", "criterion")
"""Settings whose values may be functions."""

OF_WEIGHTS = ("scope", "targets")
"""Settings that say how single weights are ranked: of a method that masks none they are empty."""

UNITS = "3"
"""How units of users' own models are found; where it changes, other units go. Of registered models the same ones do."""

BLOCKS = "1"
"""How blocks are found and scored; where it changes, other blocks go."""

TARGETS = "2"
"""What counts as weight in users' own models; where it changes, other weights go. In registered models the same do, but
for look-up tables that are named."""

EVIDENCE = "1"
"""How what criteria ask for is gathered; where it changes, scores do."""

EXPORTS = "2"
"""How a file of `prunebench export` is started from: as it is, with its own shape, tokenizer and normalisation."""

DECIDING = {"train": deciding("training"), "prune": deciding("training", "pruning")}
"""Settings that decide the result of each kind of run."""


def identity(
    kind: Kind,
    settings: Settings,
    start: Run | None,
    data: Callable[[], str | None],
    source: str | None,
    *,
    evidence: bool = False,
) -> Manifest:
    """What a run that trains or prunes is.

    Args:
        kind: "train" or "prune".
        settings: all of them; those that decide this kind of run decide its key.
        start: the run whose weights it starts from.
        data: gives the digest of what the model is trained and tested on; None of data that its name alone decides.
        source: the key of the run that it goes on from.
        evidence: whether its criterion asks for what is gathered.
    """
    values = as_stored(settings, start)
    contents = {
        name: content(getattr(settings, name), partial(digest_with_imports, beside=name != "dataset"))
        for name in _code_named(kind, settings)  # files that a loader reads are known by what it returns
    }
    if start is not None:
        contents["weights"] = f"step {max(start.steps(), default=0)}"
        if start.manifest.config.get("seed") == settings.seed:
            values[ANY_SEED] = any_seed(start.manifest)
    elif (published := models.get(settings.model).published.get(settings.weights)) is not None:
        contents["weights"] = published.version()
    elif settings.weights != "none":
        contents["weights"] = _weights_digest(Path(settings.weights))
        if settings.mean is None and is_weight_file(settings.weights):
            beside = statistics_beside(Path(settings.weights))
            contents["normalisation"] = None if beside is None else told(beside)
        contents["export"] = EXPORTS if is_export(Path(settings.weights)) else None
    if (folder := models.get(settings.model).folder) is not None:
        contents["model"] = folder.digest()
    contents["data"] = data()
    method = methods.get(settings.method)
    if kind == "prune" and method.narrows:
        contents["units"] = None if models.known(settings.model) else UNITS
    elif kind == "prune" and method.shortens:
        contents["blocks"] = BLOCKS
    elif kind == "prune" and (models.known(settings.model) is None or _names_tables(settings)):
        contents["targets"] = TARGETS
    contents["evidence"] = EVIDENCE if evidence else None
    return identify(
        kind,
        values,
        {
            name: without_folder(values[name])
            for name in _deciding(kind, settings)
            if name not in LATER or values[name] != storable(default(name))
        },
        {name: found for name, found in contents.items() if found is not None},
        source,
    )


def _deciding(kind: Kind, settings: Settings) -> list[str]:
    """Settings that decide the result of a run: on the way to a target also how many iterations it takes."""
    return DECIDING[kind] + ["iterations"] * (kind == "prune" and target(settings) is not None)


def _names_tables(settings: Settings) -> bool:
    """Whether patterns fit look-up tables of a registered model without fitting whatever stands beside them."""
    tables = models.get(settings.model).tables
    broad = {f"{name.partition('.')[0]}.\0" for name in tables}
    return any(fnmatch.filter(tables, pattern) and not fnmatch.filter(broad, pattern) for pattern in settings.include)


def file_contents(settings: Settings) -> dict[str, str]:
    """Of what `identity` finds the contents of, those that can be told of the settings of a run without importing."""
    named = {name: str(getattr(settings, name)) for name in NAMES}
    found = {
        name: digest_of_defined(value, beside=name != "dataset") if is_code(name, value) else None
        for name, value in named.items()
    }
    if (entry := models.known(named["model"])) is not None and entry.folder is not None:
        found["model"] = entry.folder.digest()
    path = Path(settings.weights)
    if is_weight_file(settings.weights) and path.is_file():
        beside = statistics_beside(path) if settings.mean is None else None
        found |= {"weights": _weights_digest(path), "normalisation": None if beside is None else told(beside)}
    return {name: value for name, value in found.items() if value is not None}


def packages(kind: Kind, settings: Settings) -> set[str]:
    """The installed packages that the model of a library comes from, and that the user's own model, loader or criterion
    of a run comes from, or imports.

    prunebench's own are not among them. What is not installed as a package has no name here.
    """
    entry = models.known(settings.model)
    modules = set(entry.library.packages) if entry is not None and entry.library is not None else set[str]()
    for thing in (getattr(settings, name) for name in _code_named(kind, settings)):
        if hasattr(thing, "modules") and not inspect.isclass(thing):  # a model itself
            modules |= {type(module).__module__.partition(".")[0] for module in thing.modules()}
        elif (place := source_of(thing)) is not None:
            modules |= installed(*place)
    return distributions(modules)


def _code_named(kind: Kind, settings: Settings) -> list[str]:
    """Settings of a run whose values are functions or objects, and not names."""
    values = {name: getattr(settings, name) for name in NAMES if name in DECIDING[kind]}
    return [name for name, value in values.items() if not isinstance(value, str) or is_code(name, value)]


def as_stored(config: RunConfig, start: Run | None = None) -> dict[str, Any]:
    """The fields of a config as they are written into a run: functions as references, tuples as lists, and for
    `weights` of another config the key of the run that it makes; what a method does not ask for as its default. Who is
    told of a run is no part of it: whoever goes on with it tells whom he likes, and nobody imports a tracker by it."""
    found = {name: getattr(config, name) for name in field_types()}
    if isinstance(config, Settings):
        found |= {name: default(name) for name in OF_WEIGHTS if found[name] is None}
        found["track"] = default("track")
    found |= {name: reference(found[name]) for name in NAMES if found[name] is not None}
    if start is not None and str(config.weights).endswith(".toml"):
        found["weights"] = start.key
    return {name: storable(value) for name, value in found.items()}


def storable(value: Any) -> Any:
    """A value as JSON can hold it; in names that are not UTF-8 bytes are told by their number."""
    if isinstance(value, tuple):
        return [storable(each) for each in value]
    return os.fsencode(value).decode("utf-8", "backslashreplace") if isinstance(value, str) else value


def restored(path: str) -> str:
    """The path that `storable` was given, where it is there and what is stored is not."""
    if Path(path).exists():
        return path
    data = re.sub(rb"\\x([89a-f][0-9a-f])", lambda byte: bytes.fromhex(byte[1].decode()), os.fsencode(path))
    return os.fsdecode(data) if Path(os.fsdecode(data)).exists() else path


def _weights_digest(path: Path) -> str | None:
    """SHA-256 of a weight file, or of all files of a folder with their names; None for a name and no file."""
    if not path.exists():
        return None
    total = hashlib.sha256()
    for file in [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file()):
        total.update(f"{file.name} {digest(file)}\n".encode())
    return total.hexdigest()


def data_digest(entry: DatasetEntry, settings: Settings, load: Callable[[], Dataset]) -> str | None:
    """Digest of what a model is trained and tested on: the contents of a dataset's files with their names inside
    `data_dir`; of an own loader what it returns; None of data that is bundled, known by its name, or not here yet.

    Args:
        entry: the dataset's.
        settings: where the data is, and where digests of files are kept.
        load: loads it; asked where the data itself tells.

    Raises:
        DataError: files are missing or cannot be read.
    """
    folder = Path(settings.data_dir)
    if entry.own:
        return load().digest(lambda paths: digests_of(paths, folder, settings.runs_dir))
    return files_digest(entry, folder, settings.runs_dir)


def files_digest(entry: DatasetEntry, folder: Path, runs_dir: str | Path) -> str | None:
    """Digest of the files of a registered dataset in a folder; None where it has none, or none there yet.

    Raises:
        DataError: files are missing or cannot be read.
    """
    files = sorted(entry.files(folder))
    found = digests_of(files, folder, runs_dir) if files else {}
    text = b"".join(os.fsencode(_inside(path, folder)) + f" {digest}\n".encode() for path, digest in found.items())
    return hashlib.sha256(text).hexdigest() if files else None


def _inside(path: Path, folder: Path) -> str:
    """The name of a file inside a folder, by their texts where that will do: in an eighth of pathlib's time."""
    text, above = str(path), f"{folder}{os.sep}"
    return text[len(above) :] if text.startswith(above) else str(path.relative_to(folder))
