"""`prunebench study`: a grid of runs that goes on where it was stopped, and says what failed."""

from __future__ import annotations

import json
import re
import shutil

import pytest

PARTS = """
from pathlib import Path
import numpy as np
from torch import nn
from prunebench import Dataset, Split

def net(classes):
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, classes))

def load():
    draw = np.random.default_rng(0)
    labels = np.arange(60) % 3
    images = (draw.integers(0, 120, (60, 12, 12)) + 50 * labels[:, None, None]).astype(np.uint8)
    return Dataset(Split(images[:40], labels[:40]), Split(images[40:], labels[40:]), ["a", "b", "c"])

def mine(weight):
    if Path("fail").exists():
        raise RuntimeError("not today")
    return weight.abs()
"""
STUDY = """
controls = true

[base]
model = "parts.py:net"
dataset = "parts.py:load"
image_size = 12
epochs = 1
iterations = 2
fraction = 0.3

[grid]
criterion = ["l1", "parts.py:mine"]

[efficiency]
batch_sizes = [2]
time_budget = 0.5
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a study."""
    place = tmp_path_factory.mktemp("study")
    (place / "parts.py").write_text(PARTS, encoding="utf-8")
    (place / "mine.toml").write_text(STUDY, encoding="utf-8")
    return place


@pytest.fixture
def study(folder, prunebench, monkeypatch):
    """Runs it there."""
    monkeypatch.chdir(folder)
    return lambda *options: prunebench("study", "mine.toml", *options)


def test_a_dry_run_lists_the_runs_and_writes_nothing(study, folder):
    finished = study("--dry-run")
    assert finished.status == 0, finished.err
    assert "study mine: 4 runs, 1 thread each, in runs/mine" in finished.out
    assert finished.out.count("  to do  ") == 4
    assert "dense, same epochs" in finished.out
    assert re.search(
        r"13 step\(s\) are left to do\n13 of them: about \d+ s, as a few batches took just now", finished.out
    )
    assert sorted(path.name for path in folder.iterdir()) == ["mine.toml", "parts.py"]
    (record,) = map(json.loads, study("--dry-run", "--json").out.splitlines())
    assert all(key in finished.out for key in record["runs"])


def test_a_run_that_fails_stops_no_other_and_the_end_says_which_and_why(study, folder):
    (folder / "fail").touch()
    finished = study("--jobs", "2")
    (folder / "fail").unlink()
    assert finished.status == 1
    assert "3 of 4 runs of the study mine are finished, in runs/mine" in finished.out
    (line,) = [line for line in finished.err.splitlines() if line.startswith("failed: ")]
    assert "parts.py:mine failed: RuntimeError: not today" in line
    assert "Traceback" not in finished.err
    assert not (folder / "performance").exists()
    written = json.loads((folder / "runs/mine/study.json").read_text(encoding="utf-8"))
    assert (written["name"], len(written["runs"]), written["source"]) == ("mine", 4, STUDY)


def test_the_same_command_goes_on_with_what_is_missing_and_times_it(study, folder):
    told = study("--dry-run").out
    assert told.count("finished") == 3
    assert "3 step(s) are left to do" in told
    assert "of disk, as such steps took before" in told
    finished = study()
    assert finished.status == 0, finished.err
    assert "4 of 4 runs of the study mine are finished" in finished.out
    assert "[1/1] parts-structured-" in finished.err
    assert len(list((folder / "runs/mine").glob("parts-structured-*/*_efficiency.json"))) == 1  # criteria take as long
    again = study()
    assert again.status == 0
    assert "step" not in again.out
    assert "timed on" not in again.err
    assert study("--dry-run").out.endswith("nothing is left to do\n")


@pytest.mark.slow
def test_a_run_that_is_damaged_stops_no_other_and_what_is_said_to_do_helps(folder, prunebench, monkeypatch, tmp_path):
    shutil.copytree(folder / "runs", tmp_path / "runs")
    (tmp_path / "parts.py").write_text(PARTS, encoding="utf-8")
    (tmp_path / "mine.toml").write_text(STUDY.replace("iterations = 2", "iterations = 3"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    (key, *_) = json.loads((tmp_path / "runs/mine/study.json").read_text())["runs"]
    odd = tmp_path / "runs" / "mine" / key
    (odd / "run.json").unlink()
    planned = prunebench("study", "mine.toml", "--dry-run")
    assert planned.status == 0, planned.err
    assert planned.out.count("  damaged  ") == 1
    assert f"Warning: runs/mine/{key}/run.json is missing." in planned.err
    finished = prunebench("study", "mine.toml")
    assert finished.status == 1
    assert "3 of 4 runs of the study mine are finished" in finished.out
    (failed,) = [line for line in finished.err.splitlines() if line.startswith("failed: ")]
    assert failed.startswith(f"failed: {key}: ")
    assert failed.endswith("in a study, move the folder away.")
    assert "Traceback" not in finished.err
    odd.rename(tmp_path / "away")
    again = prunebench("study", "mine.toml")
    assert again.status == 0, again.err


def test_another_study_of_the_same_name_is_refused(folder, study, prunebench):
    assert study().status == 0
    (folder / "other").mkdir()
    (folder / "other" / "mine.toml").write_text(STUDY.replace("0.3", "0.4"), encoding="utf-8")
    before = (folder / "runs/mine/study.json").read_bytes()
    for options in ((), ("--dry-run",)):
        finished = prunebench("study", "other/mine.toml", *options)
        assert (finished.status, finished.out) == (2, "")
        assert "another file of this name. Rename one of the two, or give --runs-dir." in finished.err
    assert (folder / "runs/mine/study.json").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--executor", "slurm"), "There is no executor 'slurm'"),
        (("--address", "10.0.0.1:6379"), "--address is of a Ray cluster; give --executor ray."),
        (("--jobs", "0"), "Invalid value for '--jobs'"),
        (("--runs-dir", "/proc/nowhere"), "/proc/nowhere"),
    ],
)
def test_wrong_options_are_told_in_a_line(study, options, message):
    finished = study(*options)
    assert finished.status == 2
    assert message in finished.err
    assert "Traceback" not in finished.err


def test_a_study_of_searches_ends_with_them_and_times_them(prunebench, folder, monkeypatch):
    monkeypatch.chdir(folder)
    text = STUDY.replace("controls = true", "").replace("iterations = 2", 'iterations = 9\nuntil = ["macs<=0.8"]')
    (folder / "search.toml").write_text(text.replace(', "parts.py:mine"', ""), encoding="utf-8")
    before = prunebench("study", "search.toml", "--dry-run")
    assert "at most 11 step(s) are left to do" in before.out
    finished = prunebench("study", "search.toml")
    assert finished.status == 0, finished.err
    assert " timed on eager, fp32" in finished.err
    again = prunebench("study", "search.toml", "--dry-run")
    assert "nothing is left to do" in again.out
    assert "finished" in again.out


FIXED = """
[base]
model = "parts.py:net"
dataset = "parts.py:load"
image_size = 12
epochs = 1
iterations = 1
finetune_epochs = 1
method = "unstructured"
sparsity = 0.5

[grid]
seed = [0, 1]
criterion = ["l1", "random"]

[comparisons]
against = ["random"]
"""


@pytest.fixture(scope="module")
def parted(tmp_path_factory):
    """A folder with a study that fixes what it compares."""
    place = tmp_path_factory.mktemp("parted")
    (place / "parts.py").write_text(PARTS, encoding="utf-8")
    (place / "fixed.toml").write_text(FIXED, encoding="utf-8")
    return place


def test_a_study_is_done_in_parts_and_compares_what_its_file_fixes(parted, prunebench, monkeypatch):
    monkeypatch.chdir(parted)
    late = prunebench("study", "fixed.toml", "--for", "0.0000001")
    assert (late.status, late.out.count("0 of 4 runs of the study fixed are finished")) == (0, 1)
    assert late.out.endswith("Go on with:\n    prunebench study fixed.toml --for 0.0000001\n")
    some = prunebench("study", "fixed.toml", "--only", "seed=0")
    assert "2 of 4 runs of the study fixed are finished" in some.out
    assert some.err.count("  to do  ") == 2
    (table,) = map(json.loads, prunebench("compare", "--study", "runs/fixed", "--json").out.splitlines())
    assert (table["missing"], table["together"]) == (1, 1)
    assert prunebench("study", "fixed.toml").status == 0
    told = prunebench("compare", "--study", "runs/fixed").out
    assert "1 comparison of fixed.toml, in 1 table: every criterion against random" in told
    assert "before any run was finished" in told
    assert re.search(r"\| 1–2 \| l1 \| 0\.\d{3}.*\|", prunebench("compare", "--study", "runs/fixed", "--markdown").out)
    assert prunebench("report", "runs/fixed").status == 0
    assert '"title":"parts.py:net on parts.py:load, unstructured, to 50 % sparsity in one step"' in (
        parted / "report.html"
    ).read_text(encoding="utf-8")


def test_comparisons_that_change_after_runs_are_finished_are_told(parted, prunebench, monkeypatch):
    monkeypatch.chdir(parted)
    (parted / "fixed.toml").write_text(FIXED.replace('["random"]\n', '["l1"]\n'), encoding="utf-8")
    told = prunebench("study", "fixed.toml")
    assert "Warning: they were changed on" in told.err
    assert "Warning: they were changed on" in prunebench("compare", "--study", "runs/fixed").out
    (parted / "fixed.toml").write_text(FIXED.replace('["random"]\n', '["wanda"]\n'), encoding="utf-8")
    wrong = prunebench("study", "fixed.toml", "--dry-run")
    assert (wrong.status, wrong.out) == (2, "")
    assert "has no runs of wanda. There are: l1, random." in wrong.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--for", "0"), "Invalid value for '--for'"),
        (("--only", "seed=7"), "--only seed=7: the study mine has no such run."),
        (("--set", "datset=x"), "Did you mean 'dataset'?"),
    ],
)
def test_parts_that_there_are_not_are_told_in_a_line(study, options, message):
    finished = study(*options, "--dry-run")
    assert (finished.status, finished.out) == (2, "")
    assert message in finished.err
