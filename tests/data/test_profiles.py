"""Colours that are meant otherwise than they are shown are told, and others are not."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from prunebench.data.profiles import unapplied

SRGB = ((0.436, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))
ADOBE = ((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446))
WHITE = (0.9642, 1.0, 0.8249)


def fixed(*values):
    return struct.pack(f">{len(values)}i", *(round(65_536 * value) for value in values))


def profile(name, primaries, gamma):
    """A profile of ICC's second version: for a screen with these primaries, or a grey one without."""
    words, curve = name.encode() + b"\0", b"curv" + struct.pack(">IIH", 0, 1, round(256 * gamma))
    tags = {b"desc": b"desc" + struct.pack(">II", 0, len(words)) + words + bytes(78), b"cprt": b"text" + bytes(5)}
    tags[b"wtpt"] = b"XYZ " + bytes(4) + fixed(*WHITE)
    for colour, point in zip((b"r", b"g", b"b"), primaries, strict=False):
        tags |= {colour + b"XYZ": b"XYZ " + bytes(4) + fixed(*point), colour + b"TRC": curve}
    tags |= {} if primaries else {b"kTRC": curve}
    table, body, start = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for tag, content in tags.items():
        table += tag + struct.pack(">II", start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    head = struct.pack(
        ">I4sI4s4s4s", start + len(body), b"lcms", 0x2400000, b"mntr", b"RGB " if primaries else b"GRAY", b"XYZ "
    )
    head += bytes(12) + b"acsp" + bytes(28) + fixed(*WHITE)
    return head + bytes(128 - len(head)) + table + body


def opened(form="png", mode="RGB", **about):
    file = io.BytesIO()
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).convert(mode).save(file, form, **about)
    return Image.open(file)


@pytest.mark.parametrize(
    ("form", "mode"), [("png", "RGB"), ("png", "P"), ("png", "L"), ("jpeg", "RGB"), ("webp", "RGB")]
)
def test_another_profile_than_srgb_is_told_by_its_name(form, mode):
    assert unapplied(opened(form, mode, icc_profile=profile("Adobe RGB (1998)", ADOBE, 2.2))) == "Adobe RGB (1998)"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (profile("linear", SRGB, 1.0), "linear"),
        (profile("as old screens", SRGB, 1.8), "as old screens"),
        (profile("grey", (), 1.0), "grey"),
        (profile("two\nlines", SRGB, 1.0), "two lines"),
        (profile("w" * 99, SRGB, 1.0), "w" * 40),
        (b"no profile", "one that cannot be read"),
        (ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes(), "one that cannot be read"),
        (profile("nearly sRGB", SRGB, 2.2), ""),
        (profile("grey as usual", (), 2.2), ""),
        (ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(), ""),
    ],
)
def test_what_differs_visibly_counts_and_the_name_does_not(given, told):
    assert unapplied(opened(icc_profile=given)) == told


def test_a_picture_without_a_profile_is_as_it_is_shown():
    assert unapplied(opened()) == ""


@pytest.mark.parametrize(("gamma", "told"), [(1.0, "gamma 1"), (0.55, "gamma 1.8"), (0.45455, ""), (0.0, "")])
def test_the_gamma_of_a_png_is_told(gamma, told):
    image = opened()
    image.info["gamma"] = gamma
    assert unapplied(image) == told
