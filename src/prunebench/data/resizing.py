"""Resizing: how a picture in a file becomes a square of the size that the model reads, and the rule that chooses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image
from torchvision.transforms.v2 import functional as F

from prunebench.data.image_files import Seen
from prunebench.errors import DataError
from prunebench.runs.digests import listed

How = Literal["crop", "fit", "none"]

LARGEST = 2**26
"""Pixels of a picture whose side was resized, at most."""

MANY = 64
"""How many times its height the middle of a very long picture is wide; a square of it is used."""


@dataclass(frozen=True)
class Resizing:
    """What is done to pictures.

    Attributes:
        how: "crop" is ImageNet's evaluation: the shorter side resized to 8/7 of the size, then the centre; "fit": the
            shorter side resized to the size, then the centre; "none": nothing.
        size: height and width of the result, pixels.
        spares: whether a picture that has the size already is used as it is.
    """

    how: How
    size: int
    spares: bool = True

    def __call__(self, image: Image.Image) -> Image.Image:
        """The picture, resized."""
        square = [self.size, self.size]
        if self.how == "none" or (self.spares and image.size == tuple(square)):
            return image
        side = round(self.size * 8 / 7) if self.how == "crop" else self.size
        found: Image.Image = F.center_crop(F.resize(_middle(image, side), [side], antialias=True), square)
        return found

    def told(self) -> str:
        """What is done, in words."""
        square = f"{self.size}×{self.size}"
        if self.how == "none":
            return f"images are used as they are, {square}"
        side, as_ = (
            (round(self.size * 8 / 7), ", as ImageNet's evaluation does") if self.how == "crop" else (self.size, "")
        )
        return f"the shorter side is resized to {side} pixels and the centre {square} is taken{as_}"


def _middle(image: Image.Image, side: int) -> Image.Image:
    """A picture, or the middle of one that is so long that it would not fit into memory once its side is resized."""
    short, long = sorted(image.size)
    if side * side * long <= LARGEST * short:
        return image
    kept = min(MANY * short, long)
    cut = (long - kept) // 2
    wide = image.width == long
    return image.crop((cut, 0, cut + kept, short) if wide else (0, cut, short, cut + kept))


def chosen(
    resize: Literal["auto", "crop", "fit", "none"], size: int, train: Mapping[Path, Seen], seen: Mapping[Path, Seen]
) -> tuple[Resizing, str]:
    """How pictures are resized, and why, in words.

    Where `resize` is "auto", "fit" if most training images are no larger than the size, else "crop", and whatever has
    the size already is used as it is.

    Args:
        resize: what was asked for.
        size: height and width that the model reads, pixels.
        train: what was seen of the training images.
        seen: what was seen of all images.

    Raises:
        DataError: "none" was asked for, and images have another size.
    """
    others = [path for path, found in seen.items() if (found.width, found.height) != (size, size)]
    square, spared = f"{size}×{size}", len(seen) - len(others)
    if resize == "none" and others:
        sizes = [f"{path} ({seen[path].width}×{seen[path].height})" for path in others]
        raise DataError(
            f"--resize none: {len(others):,} of {len(seen):,} images are not {square}: {listed(sizes)}. "
            f"Give --image-size, or another --resize."
        )
    if not others and resize != "crop":
        return Resizing("none", size), f"all images are {square}, and are used as they are"
    if resize != "auto":
        found = Resizing(resize, size, spares=False)
        return found, f"--resize {resize}: {found.told()}"
    small = sum(max(found.width, found.height) <= size for found in train.values())
    few, many = ("no larger", "fit") if 2 * small > len(train) else ("larger", "crop")
    found = Resizing("fit" if many == "fit" else "crop", size)
    spare = f"; {spared:,} of {len(seen):,} images are {square} already, and are used as they are" if spared else ""
    return found, f"--resize {found.how}, since most training images are {few} than {square}: {found.told()}{spare}"
