"""Folders of images: what one part of a dataset holds, class by class, and what in it is passed over, and why.

As torchvision's ImageFolder reads them: the folders of a part are its classes, and an image is of the class whose
folder it is in, however deep. Unlike there, what is hidden is passed over, and everything passed over is counted.
Knows neither torch nor Pillow.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from prunebench.errors import DataError
from prunebench.runs.digests import listed, shown

SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".ppm", ".pgm", ".bmp", ".tif", ".tiff", ".webp")
"""What names of images end with: torchvision's, and another name of JPEG's."""

SYSTEM = ("__MACOSX", "@eaDir", "lost+found", "$RECYCLE.BIN", "System Volume Information", "__pycache__")
"""Folders that systems put beside a user's: archives of macOS, thumbnails of a Synology, and the like."""

HIDDEN, LOOSE, BROKEN, SPECIAL = "hidden", "in no class's folder", "links to nothing", "neither file nor folder"
UNKNOWN, UNLABELLED = "of another suffix", "not listed"


@dataclass(frozen=True)
class Part:
    """One part of a dataset.

    Attributes:
        folder: where it is.
        images: every image with its class, in order of the paths.
        classes: names of the folders, in order, of those without an image too.
        passed: why files were passed over → how many; those of other suffixes by suffix.
        labels: the file that says which class images are of, where folders do not.
    """

    folder: Path
    images: tuple[tuple[Path, str], ...]
    classes: tuple[str, ...]
    passed: Counter[tuple[str, str]] = field(default_factory=Counter)
    labels: Path | None = None

    def empty(self) -> list[str]:
        """The classes without an image."""
        full = {name for _, name in self.images}
        return [name for name in self.classes if name not in full]

    def passed_over(self) -> str:
        """What was passed over, in words; empty where nothing was."""
        reasons = {reason: self.passed_for(reason) for reason, _ in self.passed}
        told = []
        for reason, count in sorted(reasons.items()):
            kinds = sorted((suffix, n) for (why, suffix), n in self.passed.items() if why == reason and suffix)
            shown = listed([f"{suffix} {n:,}" for suffix, n in kinds])
            told.append(f"{count:,} {reason}" + (f" ({shown})" if kinds else ""))
        return ", ".join(told)

    def passed_for(self, reason: str) -> int:
        """How many files were passed over for a reason."""
        return sum(count for (why, _), count in self.passed.items() if why == reason)


def check_folder(data_dir: Path) -> None:
    """Raise DataError where the folder of the data is none."""
    if data_dir.is_file():
        raise DataError(f"{data_dir} is a file: give the folder that it is in, --data-dir {data_dir.parent}.")
    if not data_dir.is_dir():
        raise DataError(f"{data_dir} does not exist: give the folder that holds the data with --data-dir.")


def read_part(folder: Path) -> Part:
    """The images of a part whose classes are its folders.

    Raises:
        DataError: the folder is not there, or cannot be read.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not there; expected {folder}/<class>/*.")
    passed: Counter[tuple[str, str]] = Counter()
    names: list[str] = []
    classes: list[str] = []
    for name in _walk(str(folder), (), passed, classes):
        place, _, _ = name.partition(os.sep)
        if len(place) == len(name):
            passed[LOOSE, ""] += 1
        else:
            names.append(name)
    names.sort(key=lambda name: os.path.normcase(name).split(os.sep))  # noqa: PTH206 — as paths are, but faster
    inside = os.path.join(folder, "")  # noqa: PTH118 — strings, for 50,000 files
    images = tuple((Path(inside + name), name.partition(os.sep)[0]) for name in names)
    return Part(folder, images, tuple(sorted(classes)), passed)


def read_annotated(part: Part, labels: Path) -> Part:
    """A part whose classes are not its folders but in a file: a line per image, its name and class first, between tabs.

    So are Tiny-ImageNet's validation images, in `images` beside `val_annotations.txt`.

    Raises:
        DataError: the file cannot be read, names images that are not there, or gives one several classes.
    """
    try:
        lines = labels.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError as error:
        raise DataError(f"{labels} cannot be read: {error.strerror}.") from error
    rows = [line.split("\t") for line in lines]
    if wrong := [number for number, row in enumerate(rows, 1) if len(row) < 2 and row != [""]]:
        raise DataError(
            f"{labels}:{wrong[0]}: expected an image's name, a tab and its class; has {lines[wrong[0] - 1][:60]!r}."
        )
    classes: dict[str, str] = {}
    for number, (name, label, *_) in ((number, row) for number, row in enumerate(rows, 1) if len(row) > 1):
        if classes.setdefault(name, label.strip()) != label.strip():
            told = f"{shown(name)} is of {shown(classes[name])} above, and of {shown(label.strip())} here"
            raise DataError(f"{labels}:{number}: {told}. Leave one of the lines out.")
    found = {path.name: path for path, _ in part.images}
    if missing := [name for name in classes if name not in found]:
        raise DataError(
            f"{labels} names {len(missing):,} images that are not in {part.folder}: {listed(missing)}. "
            f"Unpack the data again."
        )
    images = tuple((path, classes[path.name]) for path, _ in part.images if path.name in classes)
    passed = Counter(part.passed)
    if left := len(part.images) - len(images):
        passed[f"{UNLABELLED} in {labels.name}", ""] += left
    passed[UNKNOWN, labels.suffix] -= 1
    return Part(part.folder, images, tuple(sorted(set(classes.values()))), +passed, labels)


def _walk(
    root: str, place: tuple[str, ...], passed: Counter[tuple[str, str]], classes: list[str], above: tuple[str, ...] = ()
) -> Iterator[str]:
    """Paths, below the root, of what is named as an image; links are followed, but not in circles."""
    here = os.path.join(root, *place)  # noqa: PTH118
    above = (*above, os.path.realpath(here))
    try:
        with os.scandir(here) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"{here} cannot be read: {error.strerror}.") from error
    for entry in entries:
        if entry.name.startswith("."):
            passed[HIDDEN, ""] += 1
        elif _is(entry.is_dir):
            if entry.name in SYSTEM:
                passed["folders of the system", entry.name] += 1
            elif entry.is_symlink() and os.path.realpath(entry.path) in above:
                passed["links to a folder above", ""] += 1
            else:
                if not place:
                    classes.append(entry.name)
                yield from _walk(root, (*place, entry.name), passed, classes, above)
        elif not _is(entry.is_file):
            passed[BROKEN if entry.is_symlink() else SPECIAL, ""] += 1
        elif (suffix := os.path.splitext(entry.name)[1].lower()) not in SUFFIXES:  # noqa: PTH122
            passed[UNKNOWN, suffix or "none"] += 1
        else:
            yield os.sep.join((*place, entry.name))  # noqa: PTH118


def _is(asked: Callable[[], bool]) -> bool:
    try:
        return asked()
    except OSError:  # of a link to itself
        return False
