"""Profiles: whether a picture's colours are other than they are shown as, since its colour profile is not applied."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms, features

SEEN = 3
"""Levels of 255 by which colours differ in the mean where a profile is another than sRGB; gamma 2.2 is within 2."""

GAMMA = 2.2
"""sRGB's, nearly."""

MODES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
"""A profile's space of colours → Pillow's mode."""


def unapplied(image: Image.Image) -> str:
    """What the colours of a picture are meant in, where they differ visibly from sRGB; else empty."""
    info = image.info
    if profile := info.get("icc_profile"):
        return _other(profile)
    gamma = info.get("gamma")
    if isinstance(gamma, float) and gamma > 0 and "srgb" not in info and abs(gamma * GAMMA - 1) > 0.1:
        return f"gamma {1 / gamma:.2g}"
    return ""


@lru_cache(maxsize=64)
def _other(profile: bytes) -> str:
    """The name of a profile that shows colours otherwise than sRGB does; empty where it does not."""
    if not features.check("littlecms2"):
        return ""
    try:
        found = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        name = " ".join(ImageCms.getProfileDescription(found).split())[:40] or "without a name"
        grid = _grid().convert(MODES[found.profile.xcolor_space])
        shown = ImageCms.profileToProfile(grid, found, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (OSError, KeyError, ImageCms.PyCMSError):
        return "one that cannot be read"
    assert shown is not None
    apart = np.abs(np.asarray(shown).astype(int) - np.asarray(grid.convert("RGB")))
    return name if apart.mean() > SEEN else ""


def _grid() -> Image.Image:
    """16 levels of red, green and blue each."""
    levels = np.arange(0, 256, 17, dtype=np.uint8)
    return Image.fromarray(np.stack(np.meshgrid(levels, levels, levels), -1).reshape(64, 64, 3))
