"""Image files are shown as a viewer shows them: upright, on a background, and as bright as they are meant."""

import io
import struct
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as arrays
from PIL import Image

from prunebench.data.image_files import Look, colour, decode, examine, reason
from prunebench.errors import ConfigError

GREY = np.linspace(0, 255, 16).round().astype(np.uint8)[None].repeat(4, 0)
"""From black to white, 16 wide and 4 high."""


PLAIN = Look()


def pixels(path, look=PLAIN):
    return np.asarray(decode(path, look))


def tiff(values, kind, photometric=1, order="<"):
    """A TIFF of one strip, as programs other than Pillow write it; `kind` is TIFF's sample format."""
    height, width = values.shape
    raw = values.astype(values.dtype.newbyteorder(order)).tobytes()
    short = {256: width, 257: height, 258: 8 * values.itemsize, 259: 1, 262: photometric, 277: 1, 278: height}
    tags = [(tag, 3, value) for tag, value in short.items()] + [(273, 4, 8), (279, 4, len(raw)), (339, 3, kind)]
    out = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8 + len(raw)) + raw
    out += struct.pack(order + "H", len(tags))
    for tag, form, value in sorted(tags):
        packed = struct.pack(order + "I", value) if form == 4 else struct.pack(order + "HH", value, 0)
        out += struct.pack(order + "HHI", tag, form, 1) + packed
    return out + bytes(4)


def saved(image, form, **about):
    file = io.BytesIO()
    image.save(file, form, **about)
    return file.getvalue()


WIDE = GREY.astype(np.uint16) * 257
SIGNED = (WIDE // 2).astype(np.int16)
WHOLE = GREY.astype(np.uint32) * 16_843_009
REAL = (GREY / 255).astype(np.float32)

DEEP = {
    "png of 16 bits": (saved(Image.fromarray(WIDE), "png"), None),
    "tiff of 16 bits": (saved(Image.fromarray(WIDE), "tiff"), None),
    "tiff of 16 bits, compressed": (saved(Image.fromarray(WIDE), "tiff", compression="tiff_lzw"), None),
    "tiff of 16 bits, big-endian": (tiff(WIDE, 1, order=">"), None),
    "tiff of 16 bits whose white is 0": (tiff(65_535 - WIDE, 1, photometric=0), None),
    "tiff of 16 bits with sign": (tiff(SIGNED, 2), None),
    "tiff of 32 bits": (tiff(WHOLE, 1), 2**32 - 1),
    "tiff of 32 bits with sign": (tiff((WHOLE // 2).astype(np.int32), 2), 2**31 - 1),
    "tiff of 32 bits, values of 16": (saved(Image.fromarray(WIDE.astype(np.int32)), "tiff"), 65_535),
    "tiff of floats": (saved(Image.fromarray(REAL), "tiff"), 1),
    "tiff of floats, big-endian": (tiff(REAL, 3, order=">"), 1),
    "tiff of floats whose white is 0": (tiff(1 - REAL, 3, photometric=0), 1),
    "pfm": (saved(Image.fromarray(REAL), "ppm"), 1),
    "pgm of 16 bits": (b"P5 16 4 65535\n" + WIDE.astype(">u2").tobytes(), None),
    "pgm of 12 bits": (b"P5 16 4 4095\n" + (GREY / 255 * 4095).round().astype(">u2").tobytes(), None),
    "ppm of 16 bits": (b"P6 16 4 65535\n" + WIDE[..., None].repeat(3, 2).astype(">u2").tobytes(), None),
}


@pytest.mark.parametrize("name", DEEP)
def test_more_than_8_bits_are_scaled_so_that_white_is_white(tmp_path, name):
    content, usual = DEEP[name]
    (tmp_path / "image").write_bytes(content)
    assert np.array_equal(pixels(tmp_path / "image", Look(usual=usual)), GREY[..., None].repeat(3, 2))


@given(arrays.arrays(np.uint16, (2, 3)))
def test_16_bits_are_the_nearest_of_8(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("images") / "image.png"
    Image.fromarray(values).save(path)
    assert np.array_equal(pixels(path)[..., 0], np.rint(values / 257).astype(np.uint8))
    seen = examine(path, Look())
    assert (seen.bits, seen.white, seen.low, seen.high) == (16, 65_535, values.min(), values.max())


def test_a_given_white_counts_more_than_the_format(tmp_path):
    Image.fromarray(WIDE // 16).save(tmp_path / "12.png")
    assert np.abs(pixels(tmp_path / "12.png", Look(white=4095))[..., 0] - GREY.astype(int)).max() <= 1


@pytest.mark.parametrize(("form", "about"), [("png", {}), ("jpeg", {"quality": 100}), ("bmp", {}), ("ppm", {})])
def test_plain_images_are_what_pillow_makes_of_them(tmp_path, form, about):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 7, 3)).astype(np.uint8))
    image.save(tmp_path / "image", form, **about)
    with Image.open(tmp_path / "image") as file:
        assert np.array_equal(pixels(tmp_path / "image"), np.asarray(file.convert("RGB")))
    seen = examine(tmp_path / "image", Look())
    assert (seen.width, seen.height, seen.bits, seen.turned, seen.clear, seen.several) == (7, 9, 8, False, False, False)


UPRIGHT = {
    **{1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1]},
    **{5: lambda a: a.T, 6: lambda a: a[::-1].T, 7: lambda a: a[::-1, ::-1].T, 8: lambda a: a.T[::-1]},
}
"""EXIF's orientation → what the stored rows and columns are to become, as its standard draws it."""


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize(
    ("form", "about"),
    [
        ("png", {}),
        ("jpeg", {"quality": 100}),
        ("webp", {"lossless": True}),
        ("tiff", {}),
        ("tiff", {"compression": "tiff_lzw"}),
    ],
)
def test_images_are_turned_as_exif_says(tmp_path, form, about, orientation):
    stored = GREY.copy()
    stored[0] = 0
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(stored).save(tmp_path / "image", form, exif=exif, **about)
    upright = UPRIGHT[orientation](stored)
    assert np.abs(pixels(tmp_path / "image")[..., 0].astype(int) - upright).max() <= (16 if form == "jpeg" else 0)
    seen = examine(tmp_path / "image", Look())
    assert (seen.height, seen.width, seen.turned) == (*upright.shape, orientation > 1)


def test_damaged_exif_is_none_and_is_told(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    content = saved(Image.fromarray(GREY), "jpeg", exif=exif)
    start = content.index(b"Exif\0\0") + 6
    for damaged in (b"XXXXXXXX", b"MM\0*\xff\xff\xff\xff"):
        (tmp_path / "1.jpg").write_bytes(content[:start] + damaged + content[start + 8 :])
        assert decode(tmp_path / "1.jpg", Look()).size in ((16, 4), (4, 16))
    cut = content[: start + 14] + b"\xff\xff" + content[start + 16 :]
    (tmp_path / "2.jpg").write_bytes(cut)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert examine(tmp_path / "2.jpg", Look()).warned


ALPHA = np.dstack([GREY, GREY, GREY, np.full_like(GREY, 128)])
ALPHA[..., 3][:, :8] = 0

CLEAR = {
    "rgba.png": Image.fromarray(ALPHA),
    "rgba.webp": Image.fromarray(ALPHA),
    "rgba.tif": Image.fromarray(ALPHA),
    "la.png": Image.fromarray(ALPHA[..., [0, 3]]),
    "palette.png": Image.fromarray(ALPHA).quantize(32),
}


@pytest.mark.parametrize("name", CLEAR)
@pytest.mark.parametrize("background", [(255, 255, 255), (0, 0, 0), (255, 0, 0)])
def test_transparent_pixels_show_the_background(tmp_path, name, background):
    about = {"lossless": True, "exact": True} if name.endswith("webp") else {}
    CLEAR[name].save(tmp_path / name, **about)
    shown = pixels(tmp_path / name, Look(background)).astype(int)
    share = ALPHA[..., 3:] / 255
    assert np.abs(shown - (share * ALPHA[..., :3] + (1 - share) * background)).max() <= 1.5
    assert examine(tmp_path / name, Look()).clear


@pytest.mark.parametrize(
    ("image", "key"),
    [
        (Image.fromarray(GREY), 0),
        (Image.fromarray(WIDE), 0),
        (Image.fromarray(GREY[..., None].repeat(3, 2)), (0, 0, 0)),
    ],
)
def test_a_value_that_png_calls_transparent_shows_the_background(tmp_path, image, key):
    image.save(tmp_path / "1.png", transparency=key)
    shown = pixels(tmp_path / "1.png", Look((0, 255, 0)))
    assert (shown[:, 0] == (0, 255, 0)).all()
    assert np.array_equal(shown[:, 1:, 0], GREY[:, 1:])


def test_an_alpha_channel_that_hides_nothing_changes_nothing(tmp_path):
    Image.fromarray(np.dstack([GREY, GREY, GREY, np.full_like(GREY, 255)])).save(tmp_path / "1.png")
    assert np.array_equal(pixels(tmp_path / "1.png", Look((9, 9, 9))), GREY[..., None].repeat(3, 2))
    assert not examine(tmp_path / "1.png", Look()).clear


@pytest.mark.parametrize("form", ["gif", "tiff", "webp", "png"])
def test_of_several_pictures_the_first_is_read(tmp_path, form):
    first, other = (Image.fromarray(array[..., None].repeat(3, 2)) for array in (GREY, 255 - GREY))
    about = {"lossless": True} if form == "webp" else {}
    first.save(tmp_path / "image", form, save_all=True, append_images=[other], **about)
    assert np.array_equal(pixels(tmp_path / "image")[..., 0], GREY)
    assert examine(tmp_path / "image", Look()).several


BROKEN = {
    "empty": (b"", "no image, or of a kind that Pillow cannot read"),
    "text": (b"no image", "no image, or of a kind that Pillow cannot read"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
    "page": (b"<!DOCTYPE html><html>", "a web page"),
    "array": (b"\x93NUMPY\x01", "an array of NumPy"),
    "cut short": (saved(Image.fromarray(GREY), "png")[:-30], ""),
    "jpeg cut short": (saved(Image.fromarray(GREY), "jpeg")[:-30], "runcated"),
    "ppm whose size is no number": (b"P6 xx 4 255\n", "invalid literal"),
    "floats that are not finite": (tiff(np.full((2, 2), np.nan, np.float32), 3), "values that are not finite"),
    "8 bits with sign": (tiff((GREY // 2).astype(np.int8), 2), "8 bits with a sign"),
    "floats of 64 bits": (tiff(REAL.astype(np.float64), 3), "of a kind that Pillow cannot read"),
    "bomb": (b"P5 100000 100000 255\n", "exceeds limit"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_why_a_file_cannot_be_decoded_is_told_in_one_short_line(tmp_path, name):
    content, told = BROKEN[name]
    (tmp_path / "image").write_bytes(content)
    with pytest.raises(Exception) as caught:  # noqa: PT011 — of any kind
        examine(tmp_path / "image", Look())
    why = reason(caught.value, tmp_path / "image")
    assert told in why
    assert 0 < len(why) <= 120
    assert len(why.splitlines()) == 1


def test_what_decoders_mend_and_colours_that_are_not_applied_are_seen(tmp_path):
    content = saved(Image.fromarray(GREY[..., None].repeat(3, 2)), "jpeg", icc_profile=b"no profile")
    (tmp_path / "image").write_bytes(content[:-9] + b"\xff\xd9")
    seen = examine(tmp_path / "image", Look())
    assert "premature end" in seen.warned
    assert seen.profile == "one that cannot be read"
    (tmp_path / "image").write_bytes(saved(Image.fromarray(GREY), "jpeg"))
    assert (examine(tmp_path / "image", Look()).warned, examine(tmp_path / "image", Look()).profile) == ("", "")


@pytest.mark.parametrize("error", [MemoryError(), ValueError(), ValueError("two\nlines"), OSError(5, "I/O error")])
def test_every_error_has_a_reason(error, tmp_path):
    assert reason(error, tmp_path / "image") in ("not enough memory", "ValueError", "two lines", "I/O error")


def test_backgrounds_are_names_or_numbers():
    assert colour("white") == (255, 255, 255)
    assert colour("#102030") == (16, 32, 48)
    assert colour("#10203040") == (16, 32, 48)
    with pytest.raises(ConfigError, match=r"--background whit: expected a colour such as white, black or #rrggbb\."):
        colour("whit")
