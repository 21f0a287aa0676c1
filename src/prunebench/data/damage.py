"""Damage: what decoders mend without a word. Pillow hides libjpeg's warnings, and checks no sum of PNG's pixels."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import torch
import torchvision  # noqa: F401 — it brings the decoder below
from PIL import Image

from prunebench.reading import open_plain

JPEG, PNG = ("JPEG", "MPO"), ("PNG",)
"""Pillow's names of the formats whose damage can be told."""


def damage(path: Path, form: str | None) -> str:
    """What is wrong with an image file that can be decoded all the same; empty where nothing is, or is known.

    Args:
        path: the file.
        form: its format, as Pillow calls it. Of others than JPEG and PNG no more is known than that they decode.
    """
    if form in JPEG:
        return _said_by_libjpeg(path.read_bytes())
    return _broken_sum(path) if form in PNG else ""


def _broken_sum(path: Path) -> str:
    try:
        with open_plain(path) as stream, Image.open(stream) as file:
            file.verify()
    except Exception as error:  # of any kind, as wherever Pillow reads a file
        return " ".join(str(error).split())[:80] or type(error).__name__
    return ""


def _said_by_libjpeg(data: bytes) -> str:
    """The first warning of libjpeg, which torchvision lets it write to the standard error of this process."""
    try:
        before = os.dup(2)
    except OSError:  # it is closed
        return ""
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            # what `torchvision.io.decode_jpeg` calls, which later versions are to have no more: then nothing is told
            torch.ops.image.decode_jpeg(torch.frombuffer(bytearray(data), dtype=torch.uint8), 0, False)
        except (AttributeError, RuntimeError):  # or it is a kind of JPEG that Pillow alone can decode
            pass
        finally:
            os.dup2(before, 2)
            os.close(before)
        file.seek(0)
        return file.read().decode("ascii", "replace").partition("\n")[0].strip()[:80]
