"""Apart: what tells runs apart in a line: their data, and the settings in which they differ.

Of data that its name alone decides the name is enough; of other data the digest decides, and the folder, as it was
given, says where it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from prunebench.config import field_types, meta, to_target, told
from prunebench.errors import on_a_line
from prunebench.runs.manifest import ANY_SEED
from prunebench.runs.run import Run

DIGITS = 10
"""Of a digest, so many are told."""

LETTERS = 80
"""Of a value, so many are told."""

UNTOLD = (
    *("data_dir", "runs_dir", "results_dir", "workers", "cache", "keep", "checkpoint_every", "until"),
    *("trust_data", "track", ANY_SEED),
)
"""Settings by which nobody tells runs apart, or that are shown elsewhere."""


def data_name(config: Mapping[str, object], contents: Mapping[str, str]) -> str | None:
    """`A:3f2a91c04b`: the folder and the digest of a run's data; None where its dataset's name alone decides it."""
    digest = contents.get("data")
    if digest is None:
        return None
    folder = Path(str(config.get("data_dir"))).name
    plain = "".join(sign if sign.isalnum() or sign in "-_" else "-" for sign in folder)
    return f"{plain}:{digest[:DIGITS]}"


def digest_in(name: str) -> str:
    """The digest in a name of data, or the beginning of one."""
    return name.rpartition(":")[2]


def data_told(run: Run) -> str:
    """`image-folder in some/A, digest 3f2a91c04b`; `digits`."""
    dataset, digest = run.manifest.config.get("dataset"), run.manifest.contents.get("data")
    return f"{dataset} in {run.manifest.config.get('data_dir')}, digest {digest[:DIGITS]}" if digest else str(dataset)


def same_folder(one: object, other: object) -> bool:
    """Whether two folders of data are the same place, as they were given."""
    return one == other or Path(str(one)).absolute() == Path(str(other)).absolute()


def differing(run: Run, runs: Sequence[Run]) -> str:
    """`fraction=0.3 data=A:3f2a91c04b`: the settings in which a run differs from others of its kind, and its data.

    On the way to a target the iterations are such a setting, and the fraction, which nothing asks for, is none.

    What models or datasets have a value of their own for tells apart only runs of the same model and dataset.
    """
    return " ".join(_Kind([other for other in runs if other.manifest.kind == run.manifest.kind]).apart(run))


def differences(runs: Sequence[Run]) -> list[str]:
    """What `differing` says of every one of some runs."""
    kinds = {kind: _Kind(list(of)) for kind, of in _grouped(runs, lambda run: run.manifest.kind).items()}
    return [" ".join(kinds[run.manifest.kind].apart(run)) for run in runs]


def _grouped(runs: Iterable[Run], key: Callable[[Run], Hashable]) -> dict[Hashable, list[Run]]:
    found: dict[Hashable, list[Run]] = {}
    for run in runs:
        found.setdefault(key(run), []).append(run)
    return found


class _Values:
    """The values that some runs have of one setting, each once, and what is told of how many of them."""

    def __init__(self, runs: Sequence[Run], name: str) -> None:
        stored = {_hashable(run.manifest.config.get(name)): run.manifest.config for run in runs}
        self.texts = {_hashable(value): _plain(value) for value in (told(config, name) for config in stored.values())}
        self.short = [(shorten, Counter(map(shorten, self.texts.values()))) for shorten in (_head, _tail)]

    def others(self, value: object) -> bool:
        """Whether there is another one."""
        return bool(self.texts.keys() - {_hashable(value)})

    def shortened(self, value: object) -> str:
        """The first or last letters of a value, or all of them: as much as no other value has."""
        text = _plain(value)
        mine = _hashable(value) in self.texts
        for shorten, count in self.short:
            if count[shorten(text)] == mine:
                return shorten(text)
        return text


class _Kind:
    """Runs of one kind, and what tells them apart."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self.runs = runs
        self.members = set(map(id, runs))
        self.of_dataset = _grouped(runs, _dataset)
        self.alike = _grouped(runs, _model_and_dataset)
        self.sources = {run.manifest.source for run in runs}
        self.digests = {
            dataset: {run.manifest.contents.get("data") for run in of} for dataset, of in self.of_dataset.items()
        }
        self.values: dict[tuple[str, Hashable], _Values] = {}

    def apart(self, run: Run) -> Iterator[str]:
        """What tells a run of this kind from the others, a setting after the other."""
        config, here = run.manifest.config, id(run) in self.members
        among = _model_and_dataset(run)
        unasked = "fraction" if to_target(config) else "iterations"
        for name in config:
            if name in UNTOLD or name == unasked:
                continue
            values = self._values(name, among)
            if here and len(values.texts) == 1:
                continue
            value = told(config, name)
            if value not in (None, []) and values.others(value):
                yield f"{name}={values.shortened(value)}"
        if len(self.digests.get(_dataset(run), ())) > 1 and (data := data_name(config, run.manifest.contents)):
            yield f"data={data}"
        if run.manifest.kind == "efficiency" and len(self.sources) > 1:
            yield f"of={run.manifest.source or 'untrained weights'}"

    def _values(self, name: str, among: Hashable) -> _Values:
        fitted = name in field_types() and (meta(name).extra or {})["fitted"]
        key = (name, among if fitted else None)
        if key not in self.values:
            self.values[key] = _Values(self.alike.get(among, []) if fitted else self.runs, name)
        return self.values[key]


def _dataset(run: Run) -> Hashable:
    return _hashable(run.manifest.config.get("dataset"))


def _model_and_dataset(run: Run) -> Hashable:
    return _hashable(run.manifest.config.get("model")), _dataset(run)


def _hashable(value: object) -> Hashable:
    """The same for values of JSON that are equal, and for no others."""
    if isinstance(value, list):
        return "list", tuple(map(_hashable, value))
    if isinstance(value, dict):
        return "dict", frozenset((key, _hashable(of)) for key, of in value.items())
    return value


def _head(text: str) -> str:
    return text if len(text) <= LETTERS else f"{text[:LETTERS]}…"


def _tail(text: str) -> str:
    return text if len(text) <= LETTERS else f"…{text[-LETTERS:]}"


def _plain(value: object) -> str:
    """A setting's value as it is written in filters."""
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return text.lower() if isinstance(value, bool) else on_a_line(text)
