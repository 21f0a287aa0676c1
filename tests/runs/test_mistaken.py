"""What is taken for data or weights now and then is known by its first bytes, and what is not is not."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from prunebench.runs.mistaken import beginning, kind_by, stand_in


def test_a_pointer_and_a_web_page_stand_for_a_file():
    assert stand_in(b"version https://git-lfs.github.com/spec/v1\n").endswith("git lfs pull")
    assert stand_in(b"\n<!DOCTYPE HTML>").startswith("a web page")


@pytest.mark.parametrize("data", [b"", b"text,label\n", b"< 3 stars", "é".encode()])
def test_texts_are_nothing_else(data):
    assert (stand_in(data), kind_by(data)) == ("", "")


def test_other_kinds_are_known(tmp_path):
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"a"))
    np.save(tmp_path / "a.npy", np.zeros(99))
    assert kind_by(beginning(tmp_path / "a.gz")) == "gzip"
    assert kind_by(beginning(tmp_path / "a.npy")) == "an array of NumPy"
    assert beginning(tmp_path / "none") == b""
