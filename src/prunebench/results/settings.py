"""Settings: what decides the results of some runs; files of the user's that have one name are told apart.

Of a file only its name is told, as long as no other file of that name is among the runs: then as many of the folders
that it lies in as it takes. The same content elsewhere is the same, and a file that changed in its place is still it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from prunebench.config import deciding, told
from prunebench.registry import without_folder
from prunebench.runs.index import weights_without_seed
from prunebench.runs.run import Run

FILES = ("model", "dataset", "criterion")
"""Settings that may be functions in files of the user's."""

Settings = Mapping[str, object]
"""Fields of a RunConfig that decide a result, as a run stores them; without the seed."""


def settings_of(runs: Sequence[Run]) -> list[dict[str, object]]:
    """What decides the result of each of some runs, without its seed."""
    found = [_settings(run) for run in runs]
    for name in FILES:
        written = [(run.manifest.config.get(name), run.manifest.contents.get(name)) for run in runs]
        for settings, short in zip(found, told_apart(written), strict=True):
            settings[name] = short
    return found


def _settings(run: Run) -> dict[str, object]:
    names = [name for name in deciding("training", "pruning") if name != "seed"]
    return {name: without_folder(told(run.manifest.config, name)) for name in names} | {
        "weights": without_folder(weights_without_seed(run.manifest.config))
    }


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
    place, colon, function = str(reference).rpartition(":")
    if not colon:
        return _plain(str(reference).strip("<>"))
    if not place.endswith(".py"):
        return _plain(f"{place.rpartition('.')[2]}-{function}")
    return _plain(f"{Path(place).stem if Path(place).is_absolute() else place.removesuffix('.py')}-{function}")


def _plain(text: str) -> str:
    return "".join(sign if sign.isalnum() or sign in "-_" else "-" for sign in text)


def in_words(config: Mapping[str, object], contents: Mapping[str, str]) -> dict[str, str]:
    """A run's settings in a line, as `settings_in` reads it back, and the digests of the user's files in another."""
    known = {name: told(config, name) for name in deciding("training", "pruning")}
    known["weights"] = weights_without_seed(config)
    settings = [f"{name}={value}" for name, value in known.items() if value not in (None, [])]
    files = [f"{name}={contents[name][:DIGITS]}" for name in FILES if name in contents]
    return {"settings": " ".join(settings), **({"files": " ".join(files)} if files else {})}


DIGITS = 10
"""Of a digest, so many are told."""


def files_in(line: str) -> dict[str, str]:
    """`model=3f2a91c04b …`: the beginnings of digests by name."""
    return {name: digest for name, _, digest in (part.partition("=") for part in line.split())}


def settings_in(line: str) -> dict[str, str]:
    """`model=resnet18 seed=0 …` by name; `stem` is an argument of the model now."""
    parts = re.split(rf"(?:^| )({'|'.join(deciding('training', 'pruning'))}|stem)=", line)
    return dict(zip(parts[1::2], parts[2::2], strict=True))
