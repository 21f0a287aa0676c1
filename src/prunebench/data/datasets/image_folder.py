"""Folders of images in ImageNet's layout: DIR/train/<class>/**, and test or val beside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from prunebench.data.dataset import Dataset, Split, register
from prunebench.data.folders import LOOSE, SUFFIXES, UNKNOWN, Part, check_folder, read_annotated, read_part
from prunebench.data.labels import alike
from prunebench.errors import DataError
from prunebench.runs.digests import listed, shown

TESTS = ("test", "val", "valid", "validation")
"""Folders that the test set may be in; of those whose images have labels the first is taken."""


def images(data_dir: Path) -> Iterable[Path]:
    """Every file of the splits that are used, in order: images, and a file that labels them."""
    for part in _parts(data_dir):
        yield from (path for path, _ in part.images)
        yield from [part.labels] if part.labels else []


@register(
    "image-folder",
    "your images: DATA_DIR/train/<class>/* and test or val beside it",
    reads="files",
    files=images,
    defaults={"image_size": 224},
)
def load(data_dir: Path) -> Dataset:
    """Paths and labels; `val` is the test set where there is no `test` with labels. Worker processes read the images.

    Raises:
        DataError: a split is missing or empty, a class has no image to train on, or the test set has classes that
            the training set has not.
    """
    train, test = _parts(data_dir)
    places = {name: index for index, name in enumerate(train.classes)}
    splits = [
        Split([path for path, _ in part.images], [places[name] for _, name in part.images]) for part in (train, test)
    ]
    return Dataset(splits[0], splits[1], list(train.classes), notes=tuple(_notes(data_dir, train, test)))


def _parts(data_dir: Path) -> tuple[Part, Part]:
    """The training and the test images."""
    check_folder(data_dir)
    tests = [data_dir / name for name in TESTS if (data_dir / name).is_dir()]
    if not tests or not (data_dir / "train").is_dir():
        raise DataError(_incomplete(data_dir, bool(tests)))
    train = read_part(data_dir / "train")
    _check_full(train)
    if empty := train.empty():
        over = f" (passed over in {train.folder}: {train.passed_over()})" if train.passed else ""
        raise DataError(
            f"{train.folder} has {len(empty)} of {len(train.classes)} folders without an image, so nothing to learn "
            f"these classes from: {listed(empty)}{over}. Put images there, or remove the folders. "
            f"{_suffixes()}"
        )
    return train, _labelled(tests, train)


def _incomplete(data_dir: Path, has_test: bool) -> str:
    """Which folders are missing, and what to do about it."""
    there = [path.name for path in sorted(data_dir.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    missing = ["train"] * ("train" not in there) + ["test or val"] * (not has_test)
    told = f"{data_dir} has no folder {', and none '.join(missing)}; expected train/<class>/* and test/<class>/* there."
    inside = [path.parent for path in sorted(data_dir.glob("*/train")) if path.is_dir()]
    if len(inside) == 1:
        return f"{told} Did you mean --data-dir {inside[0]}?"
    if cased := [name for name in there if name.lower() in ("train", *TESTS) and name != name.lower()]:
        return f"{told} Rename {' and '.join(f'{name} to {name.lower()}' for name in cased)}."
    if len(missing) == 2 and there:
        return f"{told} If {listed(there)} are classes, put most images of each into train/<class>, the rest into test."
    return f"{told} Move part of each class of train to test." if missing == ["test or val"] else told


def _labelled(folders: list[Path], train: Part) -> Part:
    """The first of the folders whose images have labels: in folders called as a class of the training images, or in a
    file beside them."""
    known, parts = set(train.classes), []
    for folder in folders:
        part, labels = read_part(folder), folder / f"{folder.name}_annotations.txt"
        if not known & {name for _, name in part.images} and labels.is_file():
            part = read_annotated(part, labels)
        if known & {name for _, name in part.images}:
            if set(part.classes) - known:
                raise _unknown(part, train)
            return part
        parts.append(part)
    full = [part for part in parts if part.images]
    if not full:
        _check_full(parts[0])
    raise _unknown(full[0], train)


def _check_full(part: Part) -> None:
    if part.images:
        return
    name = part.folder.name
    over = f" Passed over: {part.passed_over()}." if part.passed else ""
    loose = " Without a class's folder, images have no labels." if part.passed_for(LOOSE) else ""
    raise DataError(
        f"{part.folder} holds no images; a layout such as {name}/cat/1.jpg is expected.{over}{loose} {_suffixes()}"
    )


def _unknown(part: Part, train: Part) -> DataError:
    names = sorted(set(part.classes) - set(train.classes))
    pairs = [pair for pair in alike([*train.classes, *names]) if pair[0] in names and pair[1] in train.classes]
    told = "".join(f" {name!a} differs from {other!a} only in how it is written." for name, other in pairs[:3])
    return DataError(
        f"{part.labels or part.folder} holds classes that {train.folder.name} does not: {listed(names)}.{told} "
        f"Give both splits the same folders."
    )


def _notes(data_dir: Path, train: Part, test: Part) -> Iterator[str]:
    over = [part for part in (train, test) if part.passed]
    unknown = [part for part in over if part.passed_for(UNKNOWN)][-1:]
    for part in over:
        told = f" {_suffixes()}" if part in unknown else ""
        yield f"{part.folder.name}: passed over {part.passed_over()}.{told}"
    for name, other in alike(train.classes):
        yield f"the classes {shown(other)} and {shown(name)} differ only in how they are written."
    if test.labels:
        yield f"{test.folder.name}: classes are those of {test.labels.name}."
    others = [path.name for path in sorted(data_dir.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    read = (train.folder.name, test.folder.name)
    if unread := [name for name in others if name not in read]:
        why = " (test holds no folder of a class of train)" if "test" in unread else ""
        yield f"the test set is {test.folder.name}; not read: {listed(unread)}{why}."
    elif test.folder.name != TESTS[0]:
        yield f"the test set is {test.folder.name}."


def _suffixes() -> str:
    return f"Images end with {' '.join(SUFFIXES)}."
