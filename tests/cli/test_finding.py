"""The run that a command is about: that of the very file that is named, before one of the same name."""

from __future__ import annotations

import os

import pytest

from prunebench.cli.finding import find_run
from prunebench.config import RunConfig
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
