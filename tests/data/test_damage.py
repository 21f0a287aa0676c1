"""Damage that decoders mend without a word is told, and what is whole is not."""

from __future__ import annotations

import io
import os
import sys

import numpy as np
import pytest
from PIL import Image

from prunebench.data.damage import damage

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8))


def saved(form, **about):
    file = io.BytesIO()
    NOISE.save(file, form, **about)
    return file.getvalue()


JPEG, PNG = saved("jpeg", quality=90), saved("png")
PIXELS = JPEG.index(b"\xff\xda") + 300


def told(tmp_path, data, form):
    (tmp_path / "image").write_bytes(data)
    with Image.open(tmp_path / "image") as file:
        file.load()  # Pillow finds nothing wrong
    return damage(tmp_path / "image", form)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (JPEG[:PIXELS] + bytes(8) + JPEG[PIXELS + 8 :], "extraneous bytes before marker 0xd9"),
        (JPEG[:PIXELS] + JPEG[PIXELS + 200 :], "Corrupt JPEG data"),
        (JPEG[: len(JPEG) // 2] + b"\xff\xd9", "premature end of data segment"),
        (saved("jpeg", progressive=True)[:-1000] + b"\xff\xd9", "premature end of data segment"),
        (JPEG[:PIXELS] + b"\xff\xd3" + JPEG[PIXELS + 2 :], "Corrupt JPEG data"),
    ],
)
def test_what_libjpeg_mends_is_told(tmp_path, capfd, data, what):
    assert what in told(tmp_path, data, "JPEG")
    print("heard", file=sys.stderr, flush=True)
    assert capfd.readouterr().err == "heard\n"


@pytest.mark.parametrize(
    "about",
    [{}, {"progressive": True}, {"quality": 1}, {"subsampling": 0}, {"restart_marker_blocks": 2}, {"optimize": True}],
)
def test_a_whole_jpeg_is_not_damaged(tmp_path, about):
    assert told(tmp_path, saved("jpeg", **about), "JPEG") == ""
    assert told(tmp_path, saved("jpeg", **about) + b"and more", "JPEG") == ""


def test_a_png_whose_sums_do_not_fit_or_that_ends_early_is_told(tmp_path):
    changed = bytearray(PNG)
    changed[-14] ^= 1  # of the sum of the pixels, before the last 12 bytes
    assert told(tmp_path, bytes(changed), "PNG").startswith("broken PNG file")
    assert told(tmp_path, PNG[:-12], "PNG") == "truncated PNG file"
    assert told(tmp_path, PNG, "PNG") == told(tmp_path, PNG + b"and more", "PNG") == ""


def test_of_other_formats_nothing_is_known(tmp_path):
    assert told(tmp_path, saved("bmp"), "BMP") == ""


def test_without_a_standard_error_nothing_is_told(tmp_path, monkeypatch):
    def closed(number):
        raise OSError(9, "Bad file descriptor")

    monkeypatch.setattr(os, "dup", closed)
    assert told(tmp_path, JPEG[: len(JPEG) // 2] + b"\xff\xd9", "JPEG") == ""
