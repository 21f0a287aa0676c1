"""Digests of data files: always those of the content, although hardly any file is read twice."""

import hashlib
import logging
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunebench.errors import DataError
from prunebench.runs import digests
from prunebench.runs.digests import counted, digests_of, findings, listed, nothing_kept, remember, shown

LONG_AGO = 1_600_000_000_123_456_789


def settled():
    """Wait until files that were just written can be told from files that are written from now on."""
    time.sleep(0.03)


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data" / "train"
    folder.mkdir(parents=True)
    for number in range(3):
        (folder / f"{number}.bin").write_bytes(b"%d" % number)
    settled()
    return tmp_path / "data"


@pytest.fixture
def runs(tmp_path):
    return tmp_path / "runs"


@pytest.fixture
def read(monkeypatch):
    """Names of the files that were read so far."""
    names, original = [], digests._digested
    monkeypatch.setattr(digests, "_digested", lambda path: names.append(path.name) or original(path))
    return names


def files(data):
    return sorted(path for path in data.rglob("*") if path.is_file())


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_where_nothing_is_to_be_written_files_are_read_once_all_the_same(data, runs, read):
    with nothing_kept():
        for _ in range(2):
            assert digests_of(files(data), data, runs) == {path: sha256(path) for path in files(data)}
        remember(dict.fromkeys(files(data), "seen"), data, runs)
        assert set(findings(files(data), data, runs).values()) == {"seen"}
        (data / "train" / "1.bin").write_bytes(b"x")
        assert digests_of(files(data), data, runs)[data / "train" / "1.bin"] == sha256(data / "train" / "1.bin")
    assert read == ["0.bin", "1.bin", "2.bin", "1.bin"]
    assert not runs.exists()
    digests_of(files(data), data, runs)
    assert read[4:] == ["0.bin", "1.bin", "2.bin"]


def test_a_name_for_a_message_is_on_one_line_and_bytes_that_are_no_utf8_stay():
    odd = os.fsdecode(b"caf\xe9\n\x1b[31m \xc3\xa9")
    assert shown(odd) == "caf\udce9\\n\\x1b[31m é"
    assert shown(Path("a b'c")) == "a b'c"


def test_every_file_has_the_sha256_of_its_content_in_the_order_given(data, runs):
    paths = files(data)[::-1]
    assert list(digests_of(paths, data, runs).items()) == [(path, sha256(path)) for path in paths]


def test_a_file_is_read_once(data, runs, read):
    first = digests_of(files(data), data, runs)
    assert read == ["0.bin", "1.bin", "2.bin"]
    assert digests_of(files(data), data, runs) == first
    assert len(read) == 3


def test_a_new_and_a_changed_file_are_read_and_no_other(data, runs, read):
    digests_of(files(data), data, runs)
    (data / "train" / "1.bin").write_bytes(b"other")
    (data / "train" / "3.bin").write_bytes(b"new")
    settled()
    read.clear()
    assert digests_of(files(data), data, runs) == {path: sha256(path) for path in files(data)}
    assert read == ["1.bin", "3.bin"]


def test_a_change_that_keeps_size_time_and_inode_is_seen(data, runs):
    path = files(data)[0]
    os.utime(path, ns=(LONG_AGO, LONG_AGO))
    settled()
    digests_of([path], data, runs)
    before = path.stat()
    with path.open("r+b") as file:
        file.write(b"x")
    os.utime(path, ns=(LONG_AGO, LONG_AGO))
    after = path.stat()
    assert (before.st_size, before.st_mtime_ns, before.st_ino) == (after.st_size, after.st_mtime_ns, after.st_ino)
    assert digests_of([path], data, runs) == {path: sha256(path)}


@given(contents=st.lists(st.binary(min_size=1, max_size=1), min_size=2, max_size=6))
def test_writes_of_the_same_size_within_one_tick_of_the_clock_are_seen(tmp_path_factory, contents):
    folder = tmp_path_factory.mktemp("data")
    path = folder / "labels"
    path.write_bytes(b"-")
    for content in contents:
        with path.open("r+b") as file:
            file.write(content)
        assert digests_of([path], folder, folder / "runs") == {path: hashlib.sha256(content).hexdigest()}


def test_a_time_in_whole_seconds_is_trusted_later(data, runs, read, monkeypatch):
    path = files(data)[0]
    second = 1_700_000_000_000_000_000
    stat = digests._stamp_of
    monkeypatch.setattr(digests, "_stamp_of", lambda found: (*stat(found)[:1], second, second, stat(found)[3]))
    for seconds, times in ((1.5, 2), (2.5, 1)):
        read.clear()
        monkeypatch.setattr(time, "time_ns", lambda seconds=seconds: second + int(seconds * 1e9))
        digests_of([path], data, runs / str(seconds))
        digests_of([path], data, runs / str(seconds))
        assert len(read) == times


def test_digests_are_kept_apart_by_folder_and_below_it_by_path(data, runs, tmp_path, read):
    digests_of(files(data), data, runs)
    data.rename(tmp_path / "moved")
    moved = digests_of(files(tmp_path / "moved"), tmp_path / "moved", runs)
    assert len(read) == 6
    assert [path.name for path in moved] == ["0.bin", "1.bin", "2.bin"]
    assert len(list((runs / ".digests").iterdir())) == 2


def test_a_folder_is_the_same_by_a_relative_path(data, runs, tmp_path, read, monkeypatch):
    digests_of(files(data), data, runs)
    monkeypatch.chdir(tmp_path)
    digests_of(files(Path("data")), Path("data"), runs)
    assert len(read) == 3


def test_files_outside_the_folder_are_known_by_their_own_path(data, runs, tmp_path, read):
    outside = tmp_path / "0.bin"
    outside.write_bytes(b"outside")
    settled()
    for _ in range(2):
        both = digests_of([outside, data / "train" / "0.bin"], data, runs)
        assert both == {path: sha256(path) for path in both}
    assert len(read) == 2


def test_names_that_are_not_utf8_are_known_too(data, runs, read):
    try:
        paths = [Path(os.fsdecode(bytes(data) + name)) for name in (b"/caf\xe9", "/café".encode(), b"/a")]
        for number, path in enumerate(paths):
            path.write_bytes(b"%d" % number)
    except OSError:
        pytest.skip("this disk takes UTF-8 alone")
    settled()
    for _ in range(2):
        assert digests_of(paths, data, runs) == {path: sha256(path) for path in paths}
    assert len(read) == 3


def test_all_files_that_cannot_be_read_are_named_in_one_error(data, runs):
    (data / "train" / "1.bin").unlink()
    gone = [data / "train" / "1.bin", data / "gone"]
    with pytest.raises(DataError) as caught:
        digests_of([data / "train" / "0.bin", *gone], data, runs)
    assert str(caught.value) == "2 of 3 files of data cannot be read: " + (
        ", ".join(f"{path} (No such file or directory)" for path in gone) + "."
    )


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"train/0.bin": [1, "no digest"]}', b"\xff"])
def test_what_is_kept_and_damaged_is_made_anew(data, runs, content):
    digests_of(files(data), data, runs)
    (kept,) = (runs / ".digests").iterdir()
    kept.write_bytes(content)
    assert digests_of(files(data), data, runs) == {path: sha256(path) for path in files(data)}
    assert kept.read_bytes() != content


def test_without_a_folder_to_write_to_all_is_read_each_time_and_that_is_said(data, runs, read, caplog):
    runs.write_text("a file")
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            assert digests_of(files(data), data, runs) == {path: sha256(path) for path in files(data)}
    assert len(read) == 6
    assert "cannot be kept" in caplog.text


def test_more_files_than_one_thread_takes_keep_their_order(tmp_path, runs, monkeypatch):
    monkeypatch.setattr(digests, "CHUNK", 3)
    paths = [tmp_path / str(number) for number in range(20)]
    for path in paths:
        path.write_text(path.name)
    assert digests_of(paths, tmp_path, runs) == {path: sha256(path) for path in paths}


def test_what_a_check_found_is_kept_while_the_content_stays(data, runs):
    one, two, three = files(data)
    digests_of(files(data), data, runs)
    remember({one: "intact", two: "32x32"}, data, runs)
    assert findings(files(data), data, runs) == {one: "intact", two: "32x32", three: ""}
    one.touch()
    two.write_bytes(b"x")
    assert findings(files(data), data, runs) == {one: "intact", two: "", three: ""}


def test_a_check_of_a_file_that_changed_meanwhile_is_not_kept(data, runs):
    path = files(data)[0]
    digests_of([path], data, runs)
    path.write_bytes(b"x")
    remember({path: "intact"}, data, runs)
    assert findings([path], data, runs) == {path: ""}
    path.write_bytes(b"0")
    assert findings([path], data, runs) == {path: ""}


@pytest.mark.parametrize(
    ("count", "noun", "told"),
    [(1, "epoch", "1 epoch"), (0, "step", "0 steps"), (1, "class", "1 class"), (1_437, "class", "1,437 classes")],
)
def test_one_is_not_several(count, noun, told):
    assert counted(count, noun) == told


def test_of_names_ten_are_listed():
    assert listed(["a", "b"]) == "a, b"
    assert listed([str(n) for n in range(1_012)]).endswith("8, 9 and 1,002 others")


def test_where_nothing_is_kept_a_file_is_read_once_until_that_ends(data, runs, read):
    with nothing_kept():
        found = digests_of(files(data), data, runs)
        remember(dict.fromkeys(files(data), "seen"), data, runs)
        assert digests_of(files(data), data, runs) == found
        assert set(findings(files(data), data, runs).values()) == {"seen"}
        assert (len(read), runs.exists()) == (3, False)
    assert set(findings(files(data), data, runs).values()) == {""}
    assert len(read) == 6
