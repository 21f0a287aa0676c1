"""Shades: whether images use the values that they could, or were stored on a scale of their own and look all alike."""

from __future__ import annotations

from prunebench.runs.digests import counted

FEW = 32
"""Shades of 256; where all images of a part have fewer, black or white is likely another value than it seems."""


def faint(part: str, images: int, low: int, high: int) -> str:
    """What is said of images of a part whose values all lie between two; empty where they use enough of 0 to 255."""
    if high - low >= FEW:
        return ""
    return (
        f"{part}: all values of {counted(images, 'image')} are from {low} to {high} of 255, so they look nearly alike. "
        f"If that is not meant, convert them so that 0 is black and 255 white."
    )
