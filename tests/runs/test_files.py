"""Files are written as a whole or not at all, and where there is no room that is said."""

import errno
import hashlib
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunebench.errors import ConfigError, DiskError
from prunebench.runs.files import check_writable, digest, size, write_atomically, writing


def test_a_file_is_replaced_as_a_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "file.txt"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    with pytest.raises(TypeError):
        write_atomically(path, "text")
    assert path.read_bytes() == b"two"
    assert [found.name for found in path.parent.iterdir()] == ["file.txt"]


def test_others_may_read_what_is_written(tmp_path):
    write_atomically(tmp_path / "file", b"")
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644


def test_a_file_whose_place_is_taken_by_a_folder_leaves_nothing_beside_it(tmp_path):
    (tmp_path / "file").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_atomically(tmp_path / "file", b"content")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@given(st.binary(max_size=300))
def test_a_digest_is_the_sha256_of_the_content(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "digested"
    path.write_bytes(content)
    assert digest(path) == hashlib.sha256(content).hexdigest()


def test_the_size_of_a_folder_is_that_of_all_files_in_it(tmp_path):
    assert size(tmp_path) == 0
    (tmp_path / "one").write_bytes(b"12345")
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "two").write_bytes(b"123")
    assert size(tmp_path) == 8


def test_files_that_vanish_meanwhile_count_nothing(tmp_path, monkeypatch):
    for name in ("here", "gone"):
        (tmp_path / name).write_bytes(b"12345")
    listed = list(tmp_path.rglob("*"))
    (tmp_path / "gone").unlink()
    monkeypatch.setattr(Path, "rglob", lambda folder, pattern: iter(listed))
    assert size(tmp_path) == 5


REASONS = {
    errno.ENOSPC: "no space is left on the disk",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file would be larger than this process may write",
    errno.EACCES: os.strerror(errno.EACCES),
    errno.EROFS: os.strerror(errno.EROFS),
}


@pytest.mark.parametrize("number", REASONS)
def test_a_failure_to_write_says_what_where_why_and_what_to_do(number, tmp_path):
    with pytest.raises(DiskError) as caught, writing("Step 3 of run tiny", tmp_path):
        raise OSError(number, os.strerror(number), "some/file")
    assert str(caught.value).startswith(f"Step 3 of run tiny could not be written to {tmp_path}: {REASONS[number]}. ")
    full = number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    assert ("Make room" if full else "Mend that, or choose another folder") in str(caught.value)
    assert caught.value.__cause__.errno == number


def test_a_full_disk_is_told_as_such(tmp_path):
    if not os.access("/dev/full", os.W_OK):
        pytest.skip("there is no /dev/full here")
    with pytest.raises(DiskError, match="no space is left on the disk"), writing("It", tmp_path):
        Path("/dev/full").write_bytes(b"1")


def test_another_error_than_that_of_a_disk_stays_what_it_is(tmp_path):
    with pytest.raises(ValueError, match=r"^mine$"), writing("It", tmp_path):
        raise ValueError("mine")


def test_a_folder_that_cannot_be_written_to_is_told_before_work_begins(tmp_path):
    check_writable(tmp_path / "not" / "there" / "yet")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=f"{re.escape(str(tmp_path))}.* cannot be written to"):
        check_writable(tmp_path / "file" / "runs")


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_without_permission_cannot_be_written_to(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigError, match="choose another folder"):
        check_writable(tmp_path / "runs")
