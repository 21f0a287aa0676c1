"""The run that a command is about: that of the very file that is named, before one of the same name."""

from __future__ import annotations

import os

import pytest

from prunebench.cli.finding import find_run
from prunebench.config import RunConfig
from prunebench.errors import DataError
from prunebench.experiment.resolve import pruning_run


@pytest.fixture
def runs(tmp_path, make_record, commit, monkeypatch):
    """Pruning runs of two files of one name, that of `a` being older."""
    monkeypatch.chdir(tmp_path)
    found = {}
    for when, folder in enumerate(("a", "b")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "net.py").write_text(f"def build(classes):\n    return {folder!r}\n")
        run = pruning_run(RunConfig(model=f"{folder}/net.py:build"))
        commit(run, make_record(0), make_record(1))
        os.utime(run.folder / "run.json", (10**9 + when, 10**9 + when))
        found[folder] = run.key
    return found


@pytest.mark.parametrize("folder", ["a", "b"])
def test_of_two_files_of_one_name_the_run_of_the_one_that_is_named_is_found(folder, runs):
    for text in (f"{folder}/net.py:build", f"./{folder}/net.py:build"):
        assert find_run(RunConfig(model=text), None, ["prune"]).key == runs[folder]


def test_a_file_that_was_elsewhere_finds_the_newest_run_of_its_name(runs, tmp_path):
    (tmp_path / "net.py").write_text("def build(classes):\n    pass\n")
    assert find_run(RunConfig(model="net.py:build"), None, ["prune"]).key == runs["b"]


@pytest.fixture
def on_data(run_on, tmp_path):
    """The keys of runs on the texts of A and, newer, of B; and what finds one, given a folder of data."""
    keys = {folder: run_on(folder, text).key for folder, text in (("A", "fine"), ("B", "warm"))}

    def find(folder, **given):
        place = None if folder is None else str(tmp_path / folder)
        return find_run(RunConfig(data_dir=place, runs_dir=str(tmp_path / "runs"), **given), None, ["prune", "train"])

    return keys, find


def test_the_run_is_that_of_the_data_which_is_given_and_else_the_newest(on_data, tmp_path):
    keys, find = on_data
    assert find(None).key == keys["B"]
    for folder in ("A", "B"):
        assert find(folder).key == keys[folder]
        (tmp_path / folder).rename(tmp_path / f"moved {folder}")
        assert find(f"moved {folder}").key == keys[folder]


def test_of_data_that_changed_in_its_place_the_run_is_that_of_the_place(on_data, tmp_path):
    keys, find = on_data
    (tmp_path / "A" / "test.csv").write_text("text,label\nother,good\n")
    assert find("A").key == keys["A"]


def test_other_data_is_told_and_a_folder_that_holds_none_is_an_error(on_data, tmp_path, caplog):
    keys, find = on_data
    (tmp_path / "C").mkdir()
    for part in ("train", "test"):
        (tmp_path / "C" / f"{part}.csv").write_text("text,label\nnever seen,good\n")
    with caplog.at_level("INFO"):
        assert find("C") is None
    assert f"run {keys['B']} has these settings, but its data is: text-file in {tmp_path / 'B'}, digest" in caplog.text
    with pytest.raises(DataError):
        find("nowhere")


def test_a_folder_of_data_finds_no_run_of_a_bundled_dataset_unless_it_is_named(tmp_path, make_record, commit):
    places = {"data_dir": str(tmp_path / "A"), "runs_dir": str(tmp_path / "runs")}
    run = pruning_run(RunConfig(model="resnet18", runs_dir=places["runs_dir"]))
    commit(run, make_record(0), make_record(1))
    assert find_run(RunConfig(**places), None, ["prune"]) is None
    assert find_run(RunConfig(**places, dataset="digits"), None, ["prune"]).key == run.key
