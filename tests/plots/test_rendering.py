"""Pictures are the same files whether one process draws them or several."""

from __future__ import annotations

import os
import signal
from functools import partial
from io import BytesIO

import pytest
from PIL import Image

from prunebench.errors import DataError
from prunebench.plots import rendering
from prunebench.plots.registry import Picture
from prunebench.plots.rendering import MANY, rendered
from prunebench.plots.style import canvas
from prunebench.plots.themes import THEMES


def drawn(title):
    figure, axes = canvas(title, "x", "y")
    axes.plot([0, 1], [len(title), 0])
    return figure


def pictures():
    return [(Picture(str(number), partial(drawn, "t" * number)), "light") for number in range(MANY + 1)]


@pytest.fixture
def two_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1}, raising=False)


def test_several_processes_write_the_bytes_that_one_writes_in_the_order_of_pictures(two_cores):
    alone = [rendering._files(picture) for picture in pictures()]
    together = list(rendered(pictures()))
    assert together == alone
    assert len({files["png"] for files in together}) == MANY + 1


def test_several_processes_draw_many_pictures_and_this_one_draws_few(two_cores, monkeypatch):
    monkeypatch.setattr(rendering, "_files", lambda picture: {"png": str(os.getpid()).encode()})
    few = {files["png"] for files in rendered(pictures()[: MANY - 1])}
    many = {files["png"] for files in rendered(pictures())}
    here = str(os.getpid()).encode()
    assert few == {here}
    assert here not in many


def test_what_cannot_be_drawn_is_told_and_so_is_a_process_that_was_killed(two_cores):
    def fails():
        raise DataError("no such curve")

    def dies():
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(DataError, match="no such curve"):
        list(rendered([*pictures(), (Picture("bad", fails), "light")]))
    with pytest.raises(DataError, match="was killed"):
        list(rendered([*pictures(), (Picture("bad", dies), "light")]))


def test_each_picture_has_the_colours_of_its_theme():
    (picture, _), *_ = pictures()
    light, dark = rendered([(picture, "light"), (picture, "dark")])
    for files, paper in ((light, THEMES["light"].paper), (dark, THEMES["dark"].paper)):
        with Image.open(BytesIO(files["png"])) as image:
            assert "#{:02x}{:02x}{:02x}".format(*image.convert("RGB").getpixel((0, 0))) == paper
        assert f"fill: {paper}".encode() in files["svg"]
