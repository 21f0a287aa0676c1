"""What is no plain file is not waited for, and nothing is read without end."""

import os
import stat
import time
from pathlib import Path

import pytest

from prunebench.reading import RECORD, check_plain, kind_of, open_plain, read_plain, read_text, sha256


@pytest.fixture
def odd(tmp_path):
    """Makes something that is no plain file, or is one that is far too large."""

    def make(kind):
        path = tmp_path / "odd"
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "link to a device":
            path.symlink_to("/dev/zero")
        elif kind == "folder":
            path.mkdir()
        elif kind == "sparse":
            with path.open("wb") as file:
                file.truncate(2**42)
        return path

    return make


REASONS = {
    "pipe": "it is a pipe, and no plain file",
    "link to a device": "it is a device, and no plain file",
    "folder": "Is a directory",
    "sparse": "it is larger than 16 MiB",
    "missing": "No such file or directory",
}


@pytest.mark.parametrize("kind", REASONS)
def test_what_is_no_plain_file_of_moderate_size_is_refused_at_once_with_the_reason(kind, odd):
    begun = time.monotonic()
    with pytest.raises(OSError, match=REASONS[kind]) as caught:
        read_plain(odd(kind))
    assert caught.value.strerror == REASONS[kind]
    assert time.monotonic() - begun < 0.5


@pytest.mark.parametrize("kind", [kind for kind in REASONS if kind != "sparse"])
@pytest.mark.parametrize("use", [open_plain, check_plain, sha256])
def test_so_it_is_whatever_is_done_with_it(use, kind, odd):
    with pytest.raises(OSError, match=REASONS[kind]):
        use(odd(kind))


def test_a_file_that_grows_while_it_is_read_ends_at_the_bound(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100)
    about, size = os.fstat, 40

    def smaller(handle):
        found = list(about(handle))
        found[stat.ST_SIZE] = size
        return os.stat_result(found)

    monkeypatch.setattr(os, "fstat", smaller)
    assert read_plain(path, 100) == b"x" * 100
    with pytest.raises(OSError, match="larger than"):
        read_plain(path, 99)


def test_a_file_may_be_as_large_as_the_bound(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100)
    assert read_plain(path, 100) == path.read_bytes()
    assert RECORD >= 2**26
    (tmp_path / "empty").touch()
    assert read_plain(tmp_path / "empty", 0) == b""


def test_a_text_has_one_kind_of_line_end(tmp_path):
    (tmp_path / "text").write_bytes("\ufeffä\r\nb\rc\n".encode())
    assert read_text(tmp_path / "text", "utf-8-sig") == "ä\nb\nc\n"
    with pytest.raises(UnicodeDecodeError):
        read_text(tmp_path / "text", "ascii")


def test_links_to_plain_files_are_read(tmp_path):
    (tmp_path / "file").write_bytes(b"1")
    (tmp_path / "link").symlink_to("file")
    assert read_plain(tmp_path / "link") == b"1"
    assert sha256(tmp_path / "link") == sha256(tmp_path / "file")


def test_every_kind_has_a_name():
    assert kind_of(Path("/dev/null").stat().st_mode) == "a device"
    assert kind_of(stat.S_IFSOCK) == "a socket"
    assert kind_of(0) == "something else"
    assert kind_of(stat.S_IFREG | 0o644) == ""
