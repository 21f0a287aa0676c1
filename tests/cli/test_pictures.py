"""A picture is refused before anything is computed, and written whole or not at all."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure

from prunebench.cli.pictures import check_picture, write_picture
from prunebench.errors import ConfigError, DiskError


@pytest.mark.parametrize("name", ["a.jpg", "a", "png", "a.PNG"])
def test_other_endings_are_refused_with_those_that_there_are(name):
    with pytest.raises(ConfigError, match=r"ends with \.png, \.svg or \.pdf"):
        check_picture(name)


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_it_is_of_the_kind_that_its_name_says(kind, tmp_path):
    path = tmp_path / f"a.{kind}"
    check_picture(str(path))
    write_picture(Figure, path, "light")
    assert {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[kind] == path.read_bytes()[: 5 if kind == "svg" else 4]


def test_where_it_cannot_be_written_that_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises((ConfigError, DiskError)):
        check_picture(str(tmp_path / "file" / "a.png"))
