"""Image files: one becomes 8-bit red, green and blue as a viewer shows it, whatever it is stored as.

Turned as EXIF says, its transparent pixels on a background, and values of more than 8 bits scaled so that what the
format calls white is white. Pillow's own conversion clips such values at 255, which makes pictures white.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import PIL
from PIL import ExifTags, Image, ImageColor, UnidentifiedImageError

from prunebench.data.damage import damage
from prunebench.data.profiles import unapplied
from prunebench.errors import ConfigError
from prunebench.reading import open_plain
from prunebench.runs.mistaken import beginning, kind_by, stand_in

VERSION = f"pillow {PIL.__version__} 3"
"""What decides what `examine` finds: Pillow, and this module."""

DEEP = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")
"""Pillow's modes whose values are of more than 8 bits."""

UNSIGNED, SIGNED = 1, 2
"""TIFF's sample formats of whole numbers."""

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF's orientation → how to turn the picture upright."""


class Seen(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """What is known of a file that was decoded.

    Attributes:
        version: VERSION of who decoded it.
        width, height: pixels, once it is turned.
        turned: whether EXIF said to turn it.
        clear: whether it has transparent pixels.
        several: whether it holds more pictures than the first, which is read.
        warned: what Pillow or libjpeg warned of.
        bits: of a value, where more than 8.
        white: what its format says that white is; 0 where it says nothing.
        low, high: its least and largest value, where they are of more than 8 bits.
        profile: what its colours are meant in, where that is visibly other than sRGB and not applied.
        colours: bits of a value of red, green or blue as they are stored; Pillow reads the upper 8 of them.
        darkest, brightest: the least and largest value of the picture, of 0 to 255.
    """

    version: str
    width: int
    height: int
    turned: bool = False
    clear: bool = False
    several: bool = False
    warned: str = ""
    bits: int = 8
    white: float = 0.0
    low: float = 0.0
    high: float = 0.0
    profile: str = ""
    colours: int = 8
    darkest: int = 0
    brightest: int = 255


@dataclass(frozen=True)
class Look:
    """How pictures are shown.

    Attributes:
        background: red, green and blue of what shows through transparent pixels.
        white: the value that is white where more than 8 bits are stored, whatever the format says.
        usual: the value that is white where the format does not say which.
    """

    background: tuple[int, int, int] = (255, 255, 255)
    white: float | None = None
    usual: float | None = None


def colour(text: str) -> tuple[int, int, int]:
    """Red, green and blue of a name such as white, or of #rrggbb.

    Raises:
        ConfigError: it is no colour.
    """
    try:
        return ImageColor.getrgb(text)[:3]
    except ValueError:
        raise ConfigError(f"--background {text}: expected a colour such as white, black or #rrggbb.") from None


def decode(path: Path, look: Look) -> Image.Image:
    """The first picture of a file, in mode RGB.

    Raises:
        Exception: whatever Pillow raises; `reason` puts it into words.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `examine` tells of them
        with _opened(path) as file:
            return _shown(file, look)[0]


def examine(path: Path, look: Look) -> Seen:
    """Decode a file, and tell what was seen.

    Raises:
        Exception: as `decode`.
    """
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with _opened(path) as file:
            several, form, colours = bool(getattr(file, "is_animated", False)), file.format, _bits_of_colours(file)
            image, about = _shown(file, look)
            about |= {"profile": unapplied(file), "colours": colours} | _extremes(image)
        texts = [damage(path, form)]
    texts += [str(warning.message) for warning in told if warning.category is not Image.DecompressionBombWarning]
    warned = next((" ".join(text.split())[:80] for text in texts if text), "")
    return Seen(VERSION, image.width, image.height, several=several, warned=warned, **about)


def reason(error: Exception, path: Path) -> str:
    """Why a file could not be decoded, in a few words."""
    if isinstance(error, MemoryError):
        return "not enough memory"
    if isinstance(error, UnidentifiedImageError):
        begins = beginning(path)
        known = stand_in(begins) or kind_by(begins)
        return known or "no image, or of a kind that Pillow cannot read"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split())[:120] or type(error).__name__


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """A file as Pillow sees it. By its name Pillow would map it into memory, and garble TIFFs that are to be turned."""
    with open_plain(path) as stream, Image.open(stream) as file:
        yield file


class _Stored(NamedTuple):
    """How values of more than 8 bits are stored.

    white: what the format calls white, 0 where it does not say; inverted: 0 is white, and the largest value black;
    unsigned: 32 bits without a sign, which Pillow takes for signed.
    """

    bits: int = 8
    white: float = 0.0
    inverted: bool = False
    unsigned: bool = False


def _shown(file: Image.Image, look: Look) -> tuple[Image.Image, dict[str, Any]]:
    """The picture in mode RGB, and fields of Seen."""
    about: dict[str, Any] = {}
    stored = _stored(file)
    turned = _orientation(file) in TURNS  # asked before loading, since a TIFF turns itself
    file.load()
    image: Image.Image = file
    if (orientation := _orientation(file)) in TURNS:
        image, turned = file.transpose(TURNS[orientation]), True
    if image.mode in DEEP:
        image, deep = _of_8_bits(image, stored, look)
        about |= deep
    if image.has_transparency_data:
        image, about["clear"] = _on(image, look.background)
    return image.convert("RGB"), about | {"turned": turned}


def _bits_of_colours(file: Image.Image) -> int:
    """Bits of each colour as a file that is not loaded yet stores them; Pillow has no mode for colours of 16."""
    return 16 if file.mode not in DEEP and any(";16" in str(tile[3]) for tile in getattr(file, "tile", ())) else 8


def _extremes(image: Image.Image) -> dict[str, int]:
    lows, highs = zip(*image.getextrema(), strict=True)
    return {"darkest": int(min(lows)), "brightest": int(max(highs))}


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged metadata, of which there are as many kinds as cameras, is as good as none
        return 1


def _stored(file: Image.Image) -> _Stored:
    tags = getattr(file, "tag_v2", None)
    if tags is not None and file.mode == "L" and tags.get(339, (UNSIGNED,))[0] == SIGNED:
        raise ValueError("8 bits with a sign, which Pillow takes for 8 without")
    if file.mode not in DEEP:
        return _Stored()
    if tags is None:  # PNG and PGM have 16 bits, to which Pillow scales the latter; PFM and others do not say
        return _Stored(16, 65535) if file.mode != "F" and file.format in ("PNG", "PPM") else _Stored(32)
    bits, kind = int(tags.get(258, (1,))[0]), int(tags.get(339, (UNSIGNED,))[0])
    white = {UNSIGNED: 2.0**bits - 1, SIGNED: 2.0 ** (bits - 1) - 1}.get(kind, 0.0) if bits < 32 else 0.0
    return _Stored(bits, white, tags.get(262) == 0, kind == UNSIGNED and bits == 32)


def _of_8_bits(image: Image.Image, stored: _Stored, look: Look) -> tuple[Image.Image, dict[str, Any]]:
    values = np.asarray(image)
    if stored.unsigned:
        values = values.view(np.uint32)
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise ValueError("holds values that are not finite")
    clear = image.info.get("transparency")
    shares = np.clip(values.astype(np.float64) / (look.white or stored.white or look.usual or high or 1), 0, 1)
    grey = Image.fromarray(np.rint(255 * (1 - shares if stored.inverted else shares)).astype(np.uint8))
    if isinstance(clear, int):  # PNG calls one grey value transparent
        grey.putalpha(Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8)))
    return grey, {"bits": stored.bits, "white": stored.white, "low": low, "high": high}


def _on(image: Image.Image, background: tuple[int, int, int]) -> tuple[Image.Image, bool]:
    """An image on a background, and whether anything of that shows."""
    if image.mode == "La":
        image = image.convert("LA")
    layer = image.convert("RGBA")
    if layer.getchannel("A").getextrema()[0] == 255:
        return layer, False
    below = Image.new("RGBA", layer.size, (*background, 255))
    below.alpha_composite(layer)
    return below, True
