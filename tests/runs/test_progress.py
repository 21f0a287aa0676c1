"""Progress: a half-done step is there as a whole, or what is wrong with it is told."""

from __future__ import annotations

import errno
import re
from pathlib import Path

import msgspec
import pytest

from prunebench.errors import RunError
from prunebench.runs import progress
from prunebench.runs.files import digest

FILES = ("state.json", "optimizer.safetensors", "model.safetensors", "structure.json")
CHECKPOINT = {"model.safetensors", "structure.json"}


def writes(text):
    """What puts a half-done step into a folder."""

    def write(folder):
        for name in FILES:
            (folder / name).write_text(f"{name} {text}")

    return write


def content(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def place(tmp_path):
    """The folder of a half-done step, alone in its run's folder."""
    progress.replacing(tmp_path, 3, writes("first"))()
    (found,) = progress.folders(tmp_path)
    return found


def test_a_half_done_step_is_named_by_its_number_and_the_digest_of_its_list(place):
    progress.check(place)
    assert place.name == f"progress-003-{digest(place / 'files.json')}"
    assert content(place).keys() == {*FILES, "files.json"}
    listed = msgspec.json.decode((place / "files.json").read_bytes())
    assert listed == {name: digest(place / name) for name in FILES}
    (place.parent / "other").mkdir()
    assert place.stat().st_mode == (place.parent / "other").stat().st_mode


def test_a_later_one_replaces_it_as_a_whole(place):
    progress.replacing(place.parent, 3, lambda folder: (folder / "state.json").write_text("alone"))()
    (found,) = place.parent.iterdir()
    assert content(found).keys() == {"state.json", "files.json"}
    progress.check(found)


def test_the_same_once_more_is_the_same_folder(place):
    before = content(place)
    progress.replacing(place.parent, 3, writes("first"))()
    assert list(place.parent.iterdir()) == [place]
    assert content(place) == before


def test_one_that_fails_while_it_is_written_leaves_the_last_and_nothing_else(place):
    def write(folder):
        (folder / "state.json").write_text("half of it")
        raise KeyboardInterrupt

    before = content(place)
    with pytest.raises(KeyboardInterrupt):
        progress.replacing(place.parent, 3, write)()
    assert list(place.parent.iterdir()) == [place]
    assert content(place) == before


DAMAGES = {
    "flipped": lambda data: bytes([data[0] ^ 1]) + data[1:],
    "flipped at the end": lambda data: data[:-1] + bytes([data[-1] ^ 128]),
    "cut by a byte": lambda data: data[:-1],
    "emptied": lambda data: b"",
    "longer": lambda data: data + b"\0",
    "missing": None,
}


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("name", [*FILES, "files.json"])
def test_damage_of_any_of_its_files_is_told_with_what_to_do(name, how, place):
    path, change = place / name, DAMAGES[how]
    path.unlink() if change is None else path.write_bytes(change(path.read_bytes()))
    of = "the name of its folder" if name == "files.json" else "files.json"
    problem = "is missing" if change is None else f"is damaged: its SHA-256 is not the one in {of}"
    with pytest.raises(RunError, match=f"^{re.escape(f'{place} is damaged: {name} {problem}. Delete it')}"):
        progress.check(place)


def test_a_folder_that_was_renamed_is_not_what_it_was(place):
    other = place.rename(place.with_name(f"progress-003-{'0' * 64}"))
    with pytest.raises(RunError, match=r"files\.json is damaged: its SHA-256 is not the one in the name of its folder"):
        progress.check(other)


def test_its_checkpoint_is_put_elsewhere_without_a_second_copy(place, tmp_path):
    into = tmp_path / "step"
    into.mkdir()
    assert progress.link(tmp_path, into) == {name: digest(place / name) for name in CHECKPOINT}
    assert {path.name for path in into.iterdir()} == CHECKPOINT
    assert all((into / name).samefile(place / name) for name in CHECKPOINT)
    before = content(into)
    progress.forget(tmp_path)
    assert content(into) == before


def test_where_a_file_cannot_have_two_names_its_checkpoint_is_copied(place, tmp_path, monkeypatch):
    def refuse(self, target):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    into = tmp_path / "step"
    into.mkdir()
    assert progress.link(tmp_path, into) == {name: digest(into / name) for name in CHECKPOINT}
    assert not any((into / name).samefile(place / name) for name in CHECKPOINT)


OUTSIDE = ["../mine.txt", "../../mine.txt", "a/b", "/nowhere/mine.txt", ".", "..", "", ".hidden", "x\n"]


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_list_that_names_what_is_no_file_of_its_folder_is_refused(name, tmp_path):
    run, into = tmp_path / "runs" / "run", tmp_path / "runs" / "run" / "steps" / "003"
    into.mkdir(parents=True)
    progress.replacing(run, 3, writes("first"))()
    (place,) = progress.folders(run)
    if name.startswith("../"):
        (place / name).write_text("of whoever wrote the list")
    listed = msgspec.json.encode({name: digest(place / "state.json")})
    (place / "files.json").write_bytes(listed)
    found = place.rename(place.with_name(f"progress-003-{digest(place / 'files.json')}"))
    with pytest.raises(RunError, match=r"is damaged: files\.json"):
        progress.check(found)
    with pytest.raises(RunError, match=r"is damaged: files\.json"):
        progress.link(run, into)
    assert list(into.iterdir()) == []
    assert [path.name for path in into.parent.iterdir()] == ["003"]


@pytest.mark.parametrize("listed", [b"null", b"[]", b'{"state.json": 3}', b"{"])
def test_a_list_that_is_none_is_told(listed, place):
    (place / "files.json").write_bytes(listed)
    found = place.rename(place.with_name(f"progress-003-{digest(place / 'files.json')}"))
    with pytest.raises(RunError, match=r"is damaged: files\.json"):
        progress.check(found)


def test_forgetting_leaves_what_is_no_progress_and_the_one_that_is_named(place):
    run = place.parent
    (run / "run.json").write_text("{}")
    other = run / f"progress-002-{'0' * 64}"
    other.mkdir()
    progress.forget(run, but=place)
    assert {path.name for path in run.iterdir()} == {"run.json", place.name}
    progress.forget(run)
    progress.forget(run)
    assert [path.name for path in run.iterdir()] == ["run.json"]
