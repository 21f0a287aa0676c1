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
from prunebench.runs import files
from prunebench.runs.files import check_writable, digest, size, write_atomically, writing


def test_a_file_is_replaced_as_a_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "file.txt"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    with pytest.raises(TypeError):
        write_atomically(path, "text")
    assert path.read_bytes() == b"two"
    assert [found.name for found in path.parent.iterdir()] == ["file.txt"]


def test_a_file_is_brought_to_the_disk_before_it_has_its_name_and_the_folder_after(tmp_path, monkeypatch):
    seen = []

    def fsync(handle):
        path = Path(f"/proc/self/fd/{handle}").readlink()
        seen.append((path == tmp_path, path.read_bytes() if path.is_file() else (tmp_path / "file").read_bytes()))

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("this system does not tell what a handle is of")
    write_atomically(tmp_path / "file", b"old")
    monkeypatch.setattr(os, "fsync", fsync)
    write_atomically(tmp_path / "file", b"new")
    assert seen == [(False, b"new"), (True, b"new")]


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_others_may_do_with_what_is_written_what_the_users_umask_leaves_them(umask, tmp_path):
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "file", b"")
        (tmp_path / "other").write_bytes(b"")
        (tmp_path / "other").chmod(0o600)
        files.permit(tmp_path / "other")
    finally:
        assert os.umask(before) == umask  # it is not touched
    for name in ("file", "other"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o666 & ~umask
    assert {path.name for path in tmp_path.iterdir()} == {"file", "other"}


def test_windows_brings_only_what_may_be_written_to_the_disk(tmp_path, monkeypatch):
    """Its fsync of a file that is open for reading fails, and it opens no folders."""
    fcntl = pytest.importorskip("fcntl")
    synced = []

    def fsync(handle):
        if fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "Bad file descriptor")
        synced.append(handle)

    monkeypatch.setattr(files, "WINDOWS", True)
    monkeypatch.setattr(os, "fsync", fsync)
    write_atomically(tmp_path / "file", b"content")
    files.sync(tmp_path / "file")
    files.sync(tmp_path)
    assert len(synced) == 2
    assert (tmp_path / "file").read_bytes() == b"content"


@pytest.mark.parametrize("gone_after", [3, None])
def test_windows_renames_what_somebody_has_open_as_soon_as_it_is_closed(gone_after, tmp_path, monkeypatch):
    tries = []
    rename = Path.replace

    def replace(source, target):
        tries.append(source)
        if gone_after is None or len(tries) < gone_after:
            raise PermissionError(errno.EACCES, "The process cannot access the file: it is used by another process")
        return rename(source, target)

    monkeypatch.setattr(Path, "replace", replace)
    monkeypatch.setattr(files, "PATIENCE", 0.2)
    with pytest.raises(PermissionError):
        write_atomically(tmp_path / "file", b"")
    assert len(tries) == 1  # elsewhere it is no matter of waiting
    assert list(tmp_path.iterdir()) == []
    tries.clear()
    monkeypatch.setattr(files, "WINDOWS", True)
    if gone_after:
        write_atomically(tmp_path / "file", b"content")
        assert (len(tries), (tmp_path / "file").read_bytes()) == (3, b"content")
    else:
        with pytest.raises(PermissionError):
            write_atomically(tmp_path / "file", b"content")
        assert len(tries) > 2
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_windows_leaves_what_somebody_has_open_for_the_next_time(kind, tmp_path, monkeypatch):
    place = tmp_path / kind
    place.write_text("") if kind == "file" else (place / "inside").mkdir(parents=True)

    def refused(*args, **kwargs):
        raise PermissionError(errno.EACCES, "The process cannot access the file: it is used by another process")

    with monkeypatch.context() as patch:
        for owner, name in ((Path, "unlink"), (os, "unlink"), (os, "rmdir")):
            patch.setattr(owner, name, refused)
        with pytest.raises(PermissionError):
            files.remove(place)
        patch.setattr(files, "WINDOWS", True)
        files.remove(place)
    assert place.exists()
    files.remove(place)
    assert not place.exists()


def test_a_drive_that_is_not_there_is_told(monkeypatch):
    """On Windows no folder of its path exists, up to the drive itself, above which there is none."""

    def missing(dir):
        raise FileNotFoundError(errno.ENOENT, "The system cannot find the path specified")

    monkeypatch.setattr(Path, "exists", lambda path: False)
    monkeypatch.setattr(files.tempfile, "TemporaryFile", missing)
    with pytest.raises(ConfigError, match=r"runs cannot be written to .The system cannot find"):
        check_writable("runs")


def test_a_file_whose_place_is_taken_by_a_folder_leaves_nothing_beside_it(tmp_path):
    (tmp_path / "file").mkdir()
    with pytest.raises(OSError, match="it is a folder, and no plain file"):
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
    (tmp_path / "here").write_bytes(b"12345")
    monkeypatch.setattr(os, "walk", lambda folder: [(folder, [], ["here", "gone"])])
    assert size(tmp_path) == 5


def test_what_links_lead_to_does_not_count(tmp_path):
    (tmp_path / "large").write_bytes(bytes(10_000))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").symlink_to(tmp_path / "large")
    (tmp_path / "folder" / "circle").symlink_to(tmp_path)
    assert size(tmp_path / "folder") < 1000


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
