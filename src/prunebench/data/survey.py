"""Survey: every image file is opened before anything is trained, once; what was seen decides how files are read.

What was seen is kept with the digests of the files, so a second time costs a look at their times.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import msgspec
import torch

from prunebench.data.dataset import Dataset
from prunebench.data.image_files import VERSION, Look, Seen, colour, examine, reason
from prunebench.data.resizing import Resizing, chosen
from prunebench.data.shades import faint
from prunebench.data.workers import read_by
from prunebench.errors import DataError
from prunebench.runs.digests import counted, findings, listed, remember, shown

BATCH = 32
"""Files that a worker opens before it tells of them."""

FEW = 100
"""Files that are opened here, since processes would take longer to start."""

DARK = 8
"""Where not even an eighth of white is reached in any image, white is another value than it seems."""

WHITES = (1.0, 2.0**8 - 1, 2.0**16 - 1, 2.0**31 - 1, 2.0**32 - 1)
"""What may be white in images whose format does not say: floats from 0 to 1, and whole numbers of so many bits."""

AS_SEEN = Look()
"""On white, and scaled by what formats say."""

SECONDS_BETWEEN_TOLD = 0.5

Told = Callable[[int, int], None]
"""How many files of how many are checked."""


@dataclass(frozen=True)
class Reading:
    """How image files are read: what their pictures look like, and how they are resized."""

    look: Look
    resizing: Resizing


def surveyed(
    dataset: Dataset,
    size: int,
    *,
    resize: Literal["auto", "crop", "fit", "none"] = "auto",
    background: str = "white",
    white: float | None = None,
    data_dir: Path,
    runs_dir: Path | str,
    workers: int = 2,
    told: Told = lambda done, total: None,
) -> tuple[Dataset, Reading]:
    """How the image files of a dataset are read, with the dataset, whose notes say so, after all of them were opened.

    Args:
        dataset: paths and labels.
        size: height and width that the model reads, pixels.
        resize: how to resize, or "auto".
        background: colour under transparent pixels.
        white: value of white in images of more than 8 bits; None is what formats say.
        data_dir: folder of the data.
        runs_dir: folder of runs, where what was seen is kept.
        workers: processes that open files.
        told: called as files are checked.

    Raises:
        ConfigError: the background is no colour.
        DataError: files cannot be read, or not be shown or resized as asked; it names them.
    """
    look = Look(colour(background), white)
    paths = [path for split in dataset.splits.values() for path in split.inputs]
    seen = survey(paths, data_dir=data_dir, runs_dir=runs_dir, workers=workers, told=told)
    look, values = _with_white(look, seen)
    resizing, rule = chosen(resize, size, {path: seen[path] for path in dataset.train.inputs}, seen)
    notes = (*dataset.notes, *_converted(seen), *values, *_faint(dataset, seen), f"{rule}.")
    return replace(dataset, notes=notes), Reading(look, resizing)


def survey(
    paths: Sequence[Path],
    *,
    data_dir: Path,
    runs_dir: Path | str,
    workers: int = 2,
    told: Told = lambda done, total: None,
) -> dict[Path, Seen]:
    """What is seen of every file; those that were seen before, and have not changed since, are not opened.

    Raises:
        DataError: files cannot be decoded; it names them all, up to ten.
    """
    kept = {path: _decoded(text) for path, text in findings(paths, data_dir, runs_dir).items()}
    seen = {path: found for path, found in kept.items() if found and found.version == VERSION}
    unseen = [path for path in dict.fromkeys(paths) if path not in seen]
    new: dict[Path, Seen] = {}
    broken = []
    try:
        for path, (found, why) in _opened(unseen, workers, told):
            if found is None:
                broken.append(f"{path} ({why.rstrip('.')})")
            else:
                new[path] = found
    finally:
        if new:
            texts = {path: msgspec.json.encode(found).decode() for path, found in new.items()}
            remember(texts, data_dir, runs_dir)
    if broken:
        raise DataError(
            f"{len(broken):,} of {len(paths):,} images cannot be read: {listed(broken)}. Mend them, or take them away."
        )
    return {path: seen.get(path) or new[path] for path in paths}


class _Files(torch.utils.data.Dataset[Any]):
    """Path → what was seen, or why it cannot be decoded."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths

    def __getitem__(self, index: int) -> tuple[Seen | None, str]:
        try:
            return examine(self._paths[index], AS_SEEN), ""
        except Exception as error:  # of any kind: Pillow's decoders raise what comes to their mind
            return None, reason(error, self._paths[index])


def _opened(paths: Sequence[Path], workers: int, told: Told) -> Iterator[tuple[Path, tuple[Seen | None, str]]]:
    batches = [list(range(start, min(start + BATCH, len(paths)))) for start in range(0, len(paths), BATCH)]
    done, said, telling = 0, time.monotonic(), False
    results = read_by(workers if len(paths) > FEW else 0, _Files(paths), batches, list)
    for batch in batches:
        try:
            found = next(results)
        except DataError as error:  # a process died; each has two batches at a time
            begun = min(2 * workers * BATCH, len(paths) - done)
            after = f", or one of the {begun - 1:,} after it" if begun > 1 else ""
            raise DataError(f"{error} The image that it died of may be {shown(paths[done])}{after}.") from None
        yield from zip((paths[index] for index in batch), found, strict=True)
        done += len(batch)
        if time.monotonic() - said > SECONDS_BETWEEN_TOLD or (telling and done == len(paths)):
            said, telling = time.monotonic(), True
            told(done, len(paths))


@cache
def _decoded(text: str) -> Seen | None:
    try:
        return msgspec.json.decode(text, type=Seen)
    except msgspec.MsgspecError:  # nothing was found yet, or by a check of another form
        return None


def _with_white(look: Look, seen: Mapping[Path, Seen]) -> tuple[Look, list[str]]:
    """The look with what is white where formats do not say, and what is said of it.

    Raises:
        DataError: there is no telling what is black or white.
    """
    deep = {path: found for path, found in seen.items() if found.bits > 8}
    if not deep:
        return look, [] if look.white is None else [f"--white {_told(look.white)}: no image has more than 8 bits."]
    if below := [f"{path} ({_told(found.low)})" for path, found in deep.items() if found.low < 0]:
        who = counted(len(below), "image")
        raise DataError(f"The values of {who} go below 0: {listed(below)}. Convert them so that black is 0.")
    bits = sorted({found.bits for found in deep.values()})
    which = f"{counted(len(deep), 'image')} of {' and '.join(map(str, bits))} bits"
    if look.white is not None:
        return look, [f"{which}: {_as_asked(look.white, deep)}."]
    usual, whites = None, []
    for white in sorted({found.white for found in deep.values()}):
        high = max(found.high for found in deep.values() if found.white == white)
        most = white or next((most for most in WHITES if high <= most), high)
        if 0 < high < most / DARK or high > most:
            who = _named([path for path, found in deep.items() if found.white == white])
            rule = "their format says that white is" if white else "white is usually"
            wrong = "they would all be dark" if high < most else "larger values would be white alike"
            raise DataError(
                f"The values of {who} go up to {_told(high)}, but {rule} {_told(most)}, so {wrong}. Say which value "
                f"is white: --white {_told(_rounded_up(high))}, or --white {_told(most)} if that is meant."
            )
        usual = usual if white else most
        whites.append(
            f"{_told(most)} is white, {'as their format says' if white else f'since values go up to {_told(high)}'}"
        )
    return replace(look, usual=usual), [f"{which}: {', and '.join(whites)}; they are read with 8 bits."]


def _as_asked(white: float, deep: Mapping[Path, Seen]) -> str:
    """What is said of images of more than 8 bits where the user says what is white.

    Raises:
        DataError: it is white in some of the formats that they have, and makes all of another one dark.
    """
    formats = {(found.bits, found.white) for found in deep.values()}
    highs = {form: max(s.high for s in deep.values() if (s.bits, s.white) == form) for form in formats}
    dark = {form for form, high in highs.items() if 0 < high < white / DARK}
    if dark and dark != formats:
        those = [path for path, found in deep.items() if (found.bits, found.white) in dark]
        raise DataError(
            f"--white {_told(white)}: the values of {_named(those)} go up to "
            f"{_told(max(highs[form] for form in dark))}, so they would all be dark beside the others. Convert them to "
            f"the range of the others."
        )
    over = sum(found.high > white for found in deep.values())
    cut = f"; {over:,} hold larger values, which are white too" if over else ""
    low = f"; they hold values up to {_told(max(highs.values()))}, so they are all dark" if dark else ""
    return f"{_told(white)} is white{cut}{low}"


def _named(paths: Sequence[Path]) -> str:
    """`3 images (a.tif, b.tif, c.tif)`."""
    return f"{counted(len(paths), 'image')} ({listed(paths)})"


def _told(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:g}"


def _rounded_up(value: float) -> float:
    """The largest value of as many bits as a whole number has; 4,095 for 4,000."""
    return 2.0 ** int(value).bit_length() - 1 if value == int(value) else value


def _converted(seen: Mapping[Path, Seen]) -> Iterator[str]:
    """What files were seen to need, in words."""
    if turned := sum(found.turned for found in seen.values()):
        yield f"{turned:,} images are turned as their EXIF says."
    if clear := sum(found.clear for found in seen.values()):
        yield f"{clear:,} images with transparent pixels are laid on --background."
    if several := sum(found.several for found in seen.values()):
        yield f"{several:,} files hold several pictures, of which the first is read."
    if coarse := sum(found.colours > 8 for found in seen.values()):
        yield f"{coarse:,} images have 16 bits a colour, of which the upper 8 are read."
    if others := Counter(found.profile for found in seen.values() if found.profile):
        names = listed([f"{name} {count:,}" for name, count in sorted(others.items())])
        yield f"{others.total():,} images have colours of other profiles than sRGB, which are not applied: {names}."
    if warned := [f"{path} ({found.warned})" for path, found in seen.items() if found.warned]:
        yield f"{len(warned):,} images are damaged or odd, and are read as far as they can be: {listed(warned)}."


def _faint(dataset: Dataset, seen: Mapping[Path, Seen]) -> Iterator[str]:
    """Parts whose images look nearly alike; images of 16 bits a colour apart from others, since they become so."""
    for part, split in dataset.splits.items():
        for bits in (8, 16):
            found = [each for path in split.inputs if (each := seen[path]).colours == bits]
            if found:
                low, high = min(each.darkest for each in found), max(each.brightest for each in found)
                yield from [note] if (note := faint(part, len(found), low, high)) else []
