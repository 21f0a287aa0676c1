"""`report` writes one page about a run or a folder of runs."""

from __future__ import annotations

import json
import re
import shlex

import pytest


@pytest.fixture
def out(tmp_path):
    """Where the page goes."""
    return tmp_path / "deep" / "page.html"


def data_of(path):
    return json.loads(re.search(r'<script type="application/json" id="report">(.*?)</script>', path.read_text())[1])


def test_a_folder_of_runs_becomes_a_page_whose_place_and_size_are_told(prunebench, digits_run, out):
    finished = prunebench("report", str(digits_run.folder / "runs"), "-o", str(out), "--title", "Ours & theirs")
    assert finished.status == 0
    assert re.fullmatch(rf"written {out} \(4\.\d+ MB\)\n", finished.out)
    assert "<title>Ours &amp; theirs</title>" in out.read_text()
    (run,) = (digits_run.folder / "runs").glob("resnet18-structured-*")
    assert run.name in {command["run"] for command in data_of(out)["commands"]}


def test_a_second_page_of_the_same_runs_is_the_same(prunebench, digits_run, out):
    (run,) = (digits_run.folder / "runs").glob("resnet18-structured-*")
    pages = []
    for _ in range(2):
        assert prunebench("report", str(run), "-o", str(out)).status == 0
        pages.append(out.read_bytes())
    assert pages[0] == pages[1]


def test_the_command_that_is_told_repeats_the_run(prunebench, digits_run, out):
    (run,) = (digits_run.folder / "runs").glob("resnet18-structured-*")
    prunebench("report", str(run), "-o", str(out))
    (told,) = [command for command in data_of(out)["commands"] if command["run"] == run.name]
    finished = prunebench(*shlex.split(told["command"])[1:], "--dry-run", *digits_run.places)
    assert finished.status == 0
    assert f"{run.name} in {run.parent} (3 of 3 steps are there)" in finished.out


def test_without_pruning_runs_an_error_of_a_line_says_so(prunebench, digits_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (dense,) = (digits_run.folder / "runs").glob("resnet18-dense-*")
    for arguments in ([], ["none-of-that-name"], [str(dense)]):
        finished = prunebench("report", *arguments)
        assert finished.status == 2, arguments
        assert finished.err.startswith("Error: ")
        assert finished.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_as_output_is_refused(prunebench, digits_run, tmp_path):
    finished = prunebench("report", str(digits_run.folder / "runs"), "-o", str(tmp_path))
    assert finished.status == 2
    assert "Give the name of a file" in finished.err


def test_a_title_that_is_no_text_is_shown_with_question_marks(prunebench, digits_run, out):
    finished = prunebench("report", str(digits_run.folder / "runs"), "-o", str(out), "--title", "ours \udcff")
    assert finished.status == 0, finished.err
    assert "<title>ours ?</title>" in out.read_text(encoding="utf-8")


def test_what_a_page_has_not_got_is_told(prunebench, run_on, tmp_path, out):
    run = run_on("A")
    finished = prunebench("report", str(tmp_path / "runs"), "-o", str(out))
    assert f"{run.key} has stopped at step 2 of 10." in finished.err.splitlines()
