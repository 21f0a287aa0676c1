"""Settings: what decides the results of some runs; files of the user's that have one name are told apart.

Of a file only its name is told, as long as no other file of that name is among the runs: then as many of the folders
that it lies in as it takes. The same content elsewhere is the same, and a file that changed in its place is still it.
Data is what its digest says: `data` holds that and the folder, and other data makes other runs, wherever it lies.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from prunebench.config import deciding, to_target, told
from prunebench.pruning.registry import criteria
from prunebench.pruning.shares import scopes
from prunebench.registry import FOLDERS, without_folder
from prunebench.runs.apart import data_name, digest_in
from prunebench.runs.index import weights_without_seed
from prunebench.runs.run import Run

FILES = ("model", "dataset", "criterion")
"""Settings that may be functions in files of the user's."""

NAMED: Mapping[str, Callable[[Any], Any]] = {"criterion": criteria.named, "scope": scopes.named}
"""Settings of which a value may go by several names → the one that runs store."""

Settings = Mapping[str, object]
"""Fields of a RunConfig that decide a result, as a run stores them, and `data`; without the seed."""


def settings_of(runs: Sequence[Run]) -> list[dict[str, object]]:
    """What decides the result of each of some runs, without its seed."""
    found = [_settings(run) for run in runs]
    for name in FILES:
        written = [(run.manifest.config.get(name), run.manifest.contents.get(name)) for run in runs]
        for settings, short in zip(found, told_apart(written), strict=True):
            settings[name] = short
    return with_data(found)


def with_data(settings: Sequence[Settings], *, sparing: bool = False) -> list[dict[str, object]]:
    """The same with one name for each data, wherever it lay; `sparing`: none where a dataset has one data alone."""
    named: dict[str, str] = {}
    of_dataset: dict[object, set[str]] = {}
    for of in sorted(settings, key=lambda of: str(of.get("data"))):
        if name := of.get("data"):
            named.setdefault(digest_in(str(name)), str(name))
            of_dataset.setdefault(of.get("dataset"), set()).add(digest_in(str(name)))
    found = []
    for of in settings:
        name, several = of.get("data"), len(of_dataset.get(of.get("dataset"), ())) > 1
        kept = {"data": named[digest_in(str(name))]} if name and (several or not sparing) else {}
        found.append({key: value for key, value in of.items() if key != "data"} | kept)
    return found


def on_data(settings: Settings) -> str:
    """`digits`; `image-folder A:3f2a91c04b` where the settings tell of data."""
    return " ".join(str(settings[name]) for name in ("dataset", "data") if settings.get(name))


def _settings(run: Run) -> dict[str, object]:
    names = [name for name in _deciding(run.manifest.config) if name != "seed"]
    return {name: without_folder(told(run.manifest.config, name)) for name in names} | {
        "weights": without_folder(weights_without_seed(run.manifest.config)),
        "data": data_name(run.manifest.config, run.manifest.contents),
    }


def _deciding(config: Mapping[str, object]) -> list[str]:
    """Settings that decide the result of a run: on the way to a target the iterations, and no fraction."""
    names = deciding("training", "pruning")
    return [*(name for name in names if name != "fraction"), "iterations"] if to_target(config) else names


def told_apart(written: Sequence[tuple[object, str | None]]) -> list[object]:
    """What references are called, given each with the digest of its file, where that is known.

    `/x/a/net.py:build` is `net.py:build`, and `a/net.py:build` beside another file's `/x/b/net.py:build`.
    """
    homes: dict[tuple[object, str | None], str] = {}
    for home, digest in sorted({(str(reference), digest) for reference, digest in written}, key=str):
        homes.setdefault((without_folder(home), digest), home)
    found: list[object] = []
    for reference, digest in written:
        name = without_folder(reference)
        mine = homes[without_folder(str(reference)), digest]
        others = {home for (other, _), home in homes.items() if other == name and home != mine}
        found.append(_short(mine, others) if others else name)
    return found


def _short(reference: str, others: set[str]) -> str:
    """The end of a reference, as many folders of it as no other one has."""
    parts = Path(reference).parts
    apart = (n for n in range(1, len(parts)) if all(Path(other).parts[-n:] != parts[-n:] for other in others))
    return "/".join(parts[-next(apart, len(parts)) :])


def called(reference: object) -> str:
    """What files and pictures call a model, dataset or criterion: `resnet18`, and `net-build` of `net.py:build`.

    Of a path only its end, whatever is in it: the name is never a path.
    """
    reference = without_folder(reference) if str(reference).startswith(FOLDERS) else reference
    place, colon, function = str(reference).rpartition(":")
    if not colon:
        return _plain(str(reference).strip("<>"))
    if not place.endswith(".py"):
        return _plain(f"{place.rpartition('.')[2]}-{function}")
    return _plain(f"{Path(place).stem if Path(place).is_absolute() else place.removesuffix('.py')}-{function}")


def _plain(text: str) -> str:
    return "".join(sign if sign.isalnum() or sign in "-_" else "-" for sign in text)


def in_words(config: Mapping[str, object], contents: Mapping[str, str]) -> dict[str, str]:
    """A run's settings in a line, as `settings_in` reads it back, and the digests of files and data in another."""
    known = {name: told(config, name) for name in _deciding(config)}
    known["weights"] = weights_without_seed(config)
    settings = [f"{name}={value}" for name, value in known.items() if value not in (None, [])]
    files = [f"{name}={contents[name][:DIGITS]}" for name in FILES if name in contents]
    files += [f"data={data}"] if (data := data_name(config, contents)) else []
    return {"settings": " ".join(settings), **({"files": " ".join(files)} if files else {})}


DIGITS = 10
"""Of a digest, so many are told."""


def files_in(line: str) -> dict[str, str]:
    """`model=3f2a91c04b …`: the beginnings of digests by name."""
    return {name: digest for name, _, digest in (part.partition("=") for part in line.split())}


def settings_in(line: str) -> dict[str, str]:
    """`model=resnet18 seed=0 …` by name; `stem` is an argument of the model now."""
    parts = re.split(rf"(?:^| )({'|'.join(deciding('training', 'pruning'))}|iterations|stem)=", line)
    return dict(zip(parts[1::2], parts[2::2], strict=True))
