"""Apart: what tells runs apart in a line: their data, and the settings in which they differ.

Of data that its name alone decides the name is enough; of other data the digest decides, and the folder, as it was
given, says where it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
    *("data_dir", "runs_dir", "results_dir", "workers", "keep", "checkpoint_every", "until"),
    *("trust_data", ANY_SEED),
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
    return " ".join(_differing(run, [other for other in runs if other.manifest.kind == run.manifest.kind]))


def _differing(run: Run, runs: Sequence[Run]) -> Iterator[str]:
    config = run.manifest.config
    of_dataset = [other for other in runs if other.manifest.config.get("dataset") == config.get("dataset")]
    alike = [other for other in of_dataset if other.manifest.config.get("model") == config.get("model")]
    for name in config:
        others = alike if name in field_types() and (meta(name).extra or {})["fitted"] else runs
        value = told(config, name)
        theirs = [of for other in others if (of := told(other.manifest.config, name)) != value]
        if name == ("fraction" if to_target(config) else "iterations"):
            continue
        if theirs and name not in UNTOLD and value not in (None, []):
            yield f"{name}={_shortened(_plain(value), [_plain(of) for of in theirs])}"
    digests = {other.manifest.contents.get("data") for other in of_dataset}
    if len(digests) > 1 and (data := data_name(config, run.manifest.contents)):
        yield f"data={data}"
    if run.manifest.kind == "efficiency" and len({other.manifest.source for other in runs}) > 1:
        yield f"of={run.manifest.source or 'untrained weights'}"


def _shortened(text: str, others: Sequence[str]) -> str:
    """The first or last letters of a value, or all of them: as much as no other value has."""
    for shorten in (_head, _tail):
        if shorten(text) not in map(shorten, others):
            return shorten(text)
    return text


def _head(text: str) -> str:
    return text if len(text) <= LETTERS else f"{text[:LETTERS]}…"


def _tail(text: str) -> str:
    return text if len(text) <= LETTERS else f"…{text[-LETTERS:]}"


def _plain(value: object) -> str:
    """A setting's value as it is written in filters."""
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return text.lower() if isinstance(value, bool) else on_a_line(text)
