"""Folders of images in ImageNet's layout: DIR/train/<class>/*, and test or val beside it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from prunebench.data.dataset import Dataset, Split, register
from prunebench.errors import DataError

SUFFIXES = {".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"}


def images(data_dir: Path) -> Iterable[Path]:
    """Every image of the splits that are used, in order."""
    for split in ("train", _test_folder(data_dir)):
        yield from _images(data_dir / split)


@register(
    "image-folder",
    "your images: DATA_DIR/train/<class>/* and test or val beside it",
    reads="files",
    files=images,
    defaults={"image_size": 224},
)
def load(data_dir: Path) -> Dataset:
    """Paths and labels; `val` is the test set where there is no `test`. Images are read by worker processes.

    Raises:
        DataError: a split is missing or empty, or the splits do not hold the same classes.
    """
    test = _test_folder(data_dir)
    classes = {split: _classes(data_dir / split) for split in ("train", test)}
    if unknown := set(classes[test]) - set(classes["train"]):
        raise DataError(
            f"{data_dir / test} holds classes that train does not: {', '.join(sorted(unknown)[:5])}. "
            f"Give both splits the same folders."
        )
    names = classes["train"]
    splits = []
    for split in ("train", test):
        paths, labels = [], []
        for path in _images(data_dir / split):
            paths.append(path)
            labels.append(names.index(path.parent.name))
        if not paths:
            raise DataError(f"{data_dir / split} holds no images; a layout such as {split}/cat/1.jpg is expected.")
        splits.append(Split(paths, labels))
    return Dataset(splits[0], splits[1], names)


def _images(folder: Path) -> list[Path]:
    """The images of a split, sorted; hidden folders hold none."""
    found = (path for path in folder.glob("*/*") if path.suffix.lower() in SUFFIXES)
    return sorted(path for path in found if not path.parent.name.startswith("."))


def _test_folder(data_dir: Path) -> str:
    for name in ("test", "val"):
        if (data_dir / name).is_dir():
            return name
    raise DataError(f"{data_dir} has no folder test or val; expected train/<class>/* and test/<class>/* there.")


def _classes(folder: Path) -> list[str]:
    if not folder.is_dir():
        raise DataError(f"{folder} is not there; expected {folder}/<class>/*.")
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
