"""Every image file is opened before anything is trained, once, and what is seen decides how they are read."""

import os
import struct
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from prunebench import Dataset, Split
from prunebench.data import survey as module
from prunebench.data.survey import survey, surveyed
from prunebench.errors import DataError


@pytest.fixture
def make(tmp_path):
    """Images as files, and the dataset of them; the last is the test data."""

    def make(*images, suffix=".png"):
        paths = []
        for index, image in enumerate(images):
            paths.append(tmp_path / f"{index}{suffix}")
            (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(paths[-1])
        time.sleep(0.03)  # files that were just written are not trusted
        train, test = (Split(part, np.arange(len(part)) % 2) for part in (paths[:-1], paths[-1:]))
        return Dataset(train, test, ["a", "b"], notes=("before",))

    return make


@pytest.fixture
def look(tmp_path):
    def look(dataset, size=8, **about):
        return surveyed(dataset, size, data_dir=tmp_path, runs_dir=tmp_path / "runs", **about)

    return look


@pytest.fixture
def opened(monkeypatch):
    """Names of the files that were opened so far."""
    names, original = [], module.examine
    monkeypatch.setattr(module, "examine", lambda path, look: names.append(path.name) or original(path, look))
    return names


def grey(level=100, size=8, kind=np.uint8):
    return np.full((size, size), level, kind)


def shades(high=255, size=8):
    return np.linspace(0, high, size * size).astype(np.uint8).reshape(size, size)


def deep_colours(high, size=8):
    """A PNG of 16 bits a colour, whose values go up to `high`."""
    values = np.linspace(0, high, size * size * 3).astype(">u2").reshape(size, -1)
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    header = struct.pack(">IIBBBBB", size, size, 16, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    made = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(made)


@pytest.mark.parametrize("workers", [0, 2])
def test_broken_files_are_named_in_one_error_of_one_line_whatever_breaks_them(make, look, workers, monkeypatch):
    monkeypatch.setattr(module, "FEW", 0)
    dataset = make(*[grey()] * 40)
    broken = dataset.train.inputs[3:15]
    for path, content in zip(broken, [b"", b"P6 xx", b"P5 100000 100000 255\n"] * 4, strict=True):
        path.write_bytes(content)
    dataset.test.inputs[0].write_bytes(b"no image")
    with pytest.raises(DataError) as caught:
        look(dataset, workers=workers)
    told = str(caught.value)
    assert told.startswith("13 of 40 images cannot be read: ")
    assert all(str(path) in told for path in broken[:10])
    assert told.endswith(" and 3 others. Mend them, or take them away.")
    assert len(told.splitlines()) == 1


def test_a_file_is_opened_once_and_again_when_its_content_changes(make, look, opened):
    dataset = make(grey(), grey(), grey())
    first = look(dataset)
    assert opened == ["0.png", "1.png", "2.png"]
    assert look(dataset) == first
    assert len(opened) == 3
    os.utime(dataset.train.inputs[0])
    Image.fromarray(grey(7)).save(dataset.train.inputs[1])
    look(dataset)
    assert opened[3:] == ["1.png"]


def test_what_was_seen_before_an_error_is_kept(make, look, opened):
    dataset = make(grey(), grey(), grey())
    dataset.train.inputs[1].write_bytes(b"")
    for _ in range(2):
        with pytest.raises(DataError, match="1 of 3 images cannot be read"):
            look(dataset)
    assert opened == ["0.png", "1.png", "2.png", "1.png"]


def test_where_a_process_dies_the_image_that_it_may_have_died_of_is_named(make, look, monkeypatch):
    def die(path, look):
        return os._exit(1) if path.name == "3.png" else original(path, look)

    original = module.examine
    monkeypatch.setattr(module, "examine", die)
    monkeypatch.setattr(module, "FEW", 0)
    monkeypatch.setattr(module, "BATCH", 2)
    with pytest.raises(
        DataError, match=r"A process that reads images died: .* died of may be .*[02]\.png, or one of the 3 aft"
    ):
        look(make(*[grey()] * 7), workers=1)


def test_what_another_pillow_saw_does_not_count(make, look, opened, monkeypatch):
    dataset = make(grey(), grey())
    look(dataset)
    monkeypatch.setattr(module, "VERSION", "another")
    look(dataset)
    assert len(opened) == 4


def test_a_long_check_tells_how_far_it_is(make, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SECONDS_BETWEEN_TOLD", 0)
    monkeypatch.setattr(module, "BATCH", 2)
    paths, told = make(*[grey()] * 5).train.inputs, []
    survey(paths, data_dir=tmp_path, runs_dir=tmp_path / "runs", told=lambda *about: told.append(about))
    assert told == [(2, 4), (4, 4)]


def test_a_check_that_is_stopped_keeps_what_it_saw(make, tmp_path, monkeypatch, opened):
    monkeypatch.setattr(module, "SECONDS_BETWEEN_TOLD", 0)
    monkeypatch.setattr(module, "BATCH", 2)
    paths = make(*[grey()] * 5).train.inputs

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        survey(paths, data_dir=tmp_path, runs_dir=tmp_path / "runs", told=stop)
    survey(paths, data_dir=tmp_path, runs_dir=tmp_path / "runs")
    assert sorted(opened) == [f"{index}.png" for index in range(4)]


def test_notes_say_what_was_converted_and_how_files_are_read(make, look):
    exif = Image.Exif()
    exif[274] = 3
    clear = Image.fromarray(np.dstack([grey()] * 3 + [grey(0)]))
    dataset = make(grey(), clear, grey())
    Image.fromarray(shades()).save(dataset.train.inputs[0], exif=exif)
    frames = [Image.fromarray(shades(high)) for high in (200, 250)]
    frames[0].save(dataset.test.inputs[0], save_all=True, append_images=frames[1:])
    assert look(dataset)[0].notes == (
        "before",
        "1 images are turned as their EXIF says.",
        "1 images with transparent pixels are laid on --background.",
        "1 files hold several pictures, of which the first is read.",
        "all images are 8×8, and are used as they are.",
    )


def test_a_part_whose_images_look_nearly_alike_is_told(make, look):
    told = [note for note in look(make(shades(), shades(), shades(1)))[0].notes if "alike" in note]
    assert told == [
        "test: all values of 1 image are from 0 to 1 of 255, so they look nearly alike. If that is not meant, convert "
        "them so that 0 is black and 255 white."
    ]
    assert not any("alike" in note for note in look(make(shades(), shades(0), shades(32)))[0].notes)


def test_colours_of_16_bits_are_told_and_apart_from_others_whether_they_become_dark(make, look):
    dataset = make(*[shades()] * 4)
    for path, high in zip(dataset.train.inputs[:2], (4095, 65535), strict=True):
        path.write_bytes(deep_colours(high))
    assert "2 images have 16 bits a colour, of which the upper 8 are read." in look(dataset)[0].notes
    dataset.train.inputs[1].write_bytes(deep_colours(4095))
    told = [note for note in look(dataset)[0].notes if "alike" in note]
    assert [note.partition(" of 255")[0] for note in told] == ["train: all values of 2 images are from 0 to 15"]


def test_notes_name_what_is_damaged_and_count_colours_that_are_not_applied(make, look):
    dataset = make(grey(), grey(), grey(), grey(), suffix=".jpg")
    paths = [*dataset.train.inputs, *dataset.test.inputs]
    for path in paths[:2]:
        path.write_bytes(path.read_bytes()[:-4] + b"\xff\xd9")
    Image.fromarray(grey()).save(paths[3], icc_profile=b"no profile")
    notes = look(dataset)[0].notes
    assert (
        notes[1]
        == "1 images have colours of other profiles than sRGB, which are not applied: one that cannot be read 1."
    )
    assert notes[2].startswith(
        f"2 images are damaged or odd, and are read as far as they can be: {paths[0]} (Corrupt JPEG"
    )
    assert f"{paths[1]} (Corrupt JPEG" in notes[2]


def test_a_name_that_moves_the_cursor_is_shown_on_one_line(make, look, tmp_path):
    dataset = make(grey(), grey())
    odd = dataset.train.inputs[0].rename(tmp_path / "a\nb\x1b[31m.png")
    odd.write_bytes(b"")
    with pytest.raises(DataError) as caught:
        look(Dataset(Split([odd], [0]), dataset.test, ["a", "b"]))
    assert r"a\nb\x1b[31m.png (no image" in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("levels", "kind", "white", "told"),
    [
        ((30_000, 60_000), np.uint16, None, "images of 16 bits: 65535 is white, as their format says;"),
        ((0.2, 0.9), np.float32, 1, "images of 32 bits: 1 is white, since values go up to 0.9; they are read with 8"),
        ((20, 250), np.float32, 255, "255 is white"),
        ((20, 250), np.int32, 255, "255 is white"),
        ((20_000, 60_000), np.int32, 65_535, "65535 is white, since values go up to 60000"),
        ((2**30, 2**31 - 1), np.int32, 2**31 - 1, "is white"),
        ((0, 0), np.float32, 1, "1 is white"),
        ((0, 2.0**40), np.float32, 2**40, "since values go up to"),
    ],
)
def test_what_is_white_is_decided_by_all_images_together(make, look, levels, kind, white, told):  # noqa: PLR0917
    dataset, reading = look(make(*[grey(level, kind=kind) for level in levels], grey(0, kind=kind), suffix=".tif"))
    assert reading.look.usual == white
    assert told in dataset.notes[1]


@pytest.mark.parametrize(
    ("levels", "kind", "message"),
    [
        (
            (0, 4095),
            np.uint16,
            r"^The values of 3 images \(.*2\.tif\) go up to 4095, but their format says that white is 65535, so they "
            r"would all be dark\. Say which value is white",
        ),
        ((0, 4000), np.uint16, r": --white 4095, or --white 65535 if that is meant\."),
        (
            (0, 1.05),
            np.float32,
            r"up to 1\.05, but white is usually 255, so they would all be dark.*: --white 1\.05, or --white 255 ",
        ),
        (
            (-5, 100),
            np.int32,
            r"^The values of 1 image go below 0: .*0\.tif \(-5\)\. Convert them so that black is 0\.",
        ),
    ],
)
def test_where_black_or_white_is_unsure_that_is_asked(make, look, levels, kind, message):
    dataset = make(*[grey(level, kind=kind) for level in levels], grey(0, kind=kind), suffix=".tif")
    with pytest.raises(DataError, match=message):
        look(dataset)


def test_a_white_that_changes_nothing_is_told(make, look):
    assert look(make(grey(), grey()), white=4095.0)[0].notes[1] == "--white 4095: no image has more than 8 bits."


def test_a_white_that_is_given_is_taken_and_what_is_beyond_is_counted(make, look):
    dataset, reading = look(make(*[grey(level, kind=np.uint16) for level in (0, 4095, 5000)]), white=4095.0)
    assert reading.look.white == 4095
    assert dataset.notes[1] == "3 images of 16 bits: 4095 is white; 1 hold larger values, which are white too."


def test_a_white_that_makes_images_of_one_format_dark_and_no_others_is_refused(make, look):
    deep, floats = (grey(level, kind=kind) for level, kind in ((4000, np.uint16), (0.9, np.float32)))
    dataset = make(deep, floats, deep, suffix=".tif")
    with pytest.raises(DataError, match=r"--white 4095: the values of 1 image \(.*1\.tif\) go up to 0\.9, so they"):
        look(dataset, white=4095.0)
    assert look(dataset, white=1.0)[1].look.white == 1


def test_a_white_that_makes_all_images_dark_is_taken_as_it_is_meant_and_told(make, look):
    dataset, _ = look(make(*[grey(level, kind=np.uint16) for level in (0, 4095)]), white=65_535.0)
    assert dataset.notes[1] == "2 images of 16 bits: 65535 is white; they hold values up to 4095, so they are all dark."
