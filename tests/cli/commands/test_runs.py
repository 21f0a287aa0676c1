"""`runs` lists what there is, and deletes one after asking."""

from __future__ import annotations

import io
import json
import os
import re
import shutil

import pytest

from prunebench.cli.main import cli
from prunebench.runs.files import size
from prunebench.runs.lock import held


@pytest.fixture
def places(digits_run, tmp_path):
    """A copy of a dense and a pruned run, for its options."""
    for kind in ("dense", "structured"):
        (run,) = (digits_run.folder / "runs").glob(f"resnet18-{kind}-*")
        shutil.copytree(run, tmp_path / "runs" / run.name)
    return ("--runs-dir", str(tmp_path / "runs"))


def test_no_runs_are_told_with_what_makes_one(prunebench, tmp_path):
    finished = prunebench("runs", "--runs-dir", str(tmp_path / "none"))
    assert finished.status == 0
    assert "prunebench prune --model resnet18" in finished.out
    assert not (tmp_path / "none").exists()


def test_a_line_per_run_tells_state_progress_size_and_age(places, prunebench, tmp_path):
    finished = prunebench("runs", *places)
    rows = {line.split()[0]: line for line in finished.out.splitlines()}
    (pruned,) = (name for name in rows if name.startswith("resnet18-structured-"))
    (dense,) = (name for name in rows if name.startswith("resnet18-dense-"))
    assert re.search(r"finished +step 2 of 2 +[\d.]+ MB +\d+ (s|min)$", rows[pruned])
    assert re.search(r"finished +trained +[\d.]+ MB", rows[dense])
    listed = {row["name"]: row for row in map(json.loads, prunebench("runs", *places, "--json").out.splitlines())}
    assert listed[pruned]["bytes"] == size(tmp_path / "runs" / pruned)


def test_what_runs_differ_in_is_told_and_nothing_else(places, prunebench, digits_run):
    options = (
        *digits_run.options,
        "--iterations",
        "1",
        "--finetune-epochs",
        "1",
        *places,
        "--results-dir",
        str(places[1]) + "-results",
    )
    assert prunebench("prune", *options, "--fraction", "0.3").status == 0
    lines = prunebench("runs", *places).out.splitlines()
    assert sorted(line.strip() for line in lines if line.startswith("    ")) == ["fraction=0.1", "fraction=0.3"]


def test_a_run_that_is_computed_or_half_done_or_set_aside_says_so(places, prunebench, tmp_path, digits_run):
    (folder,) = (tmp_path / "runs").glob("resnet18-structured-*")
    with held(folder):
        assert f"running (process {os.getpid()} on " in prunebench("runs", *places).out
    with held(folder):
        told = (folder.parent / ".locks" / f"{folder.name}.json").read_bytes()
    (folder.parent / ".locks").mkdir()
    (folder.parent / ".locks" / f"{folder.name}.json").write_bytes(told)  # nobody holds it any more
    assert "running" not in prunebench("runs", *places).out
    (folder / "progress-0.safetensors").touch()
    assert "step 2 of 2, next one begun" in prunebench("runs", *places).out
    started = prunebench(
        "prune",
        *digits_run.options,
        "--iterations",
        "1",
        "--finetune-epochs",
        "1",
        *places,
        "--results-dir",
        str(tmp_path / "r"),
        "--fresh",
    )
    assert started.status == 0
    out = prunebench("runs", *places).out
    assert re.search(r"aside/resnet18-structured-\S+ +set aside", out)
    (aside,) = re.findall(r"aside/\S+", out)
    assert prunebench("runs", "--delete", str(tmp_path / "runs" / aside), "--yes", *places).status == 0
    assert "aside" not in prunebench("runs", *places).out


def test_deleting_asks_first(places, tmp_path):
    from click.testing import CliRunner

    (folder,) = (tmp_path / "runs").glob("resnet18-structured-*")
    refused = CliRunner().invoke(cli, ["runs", "--delete", folder.name, *places], input="n\n")
    assert refused.exit_code == 1
    assert folder.is_dir()
    assert "MB" in refused.stderr
    assert refused.stderr.endswith("nothing was deleted\n")
    agreed = CliRunner().invoke(cli, ["runs", "--delete", folder.name, *places], input="y\n")
    assert agreed.exit_code == 0
    assert not folder.exists()
    assert len(list((tmp_path / "runs").glob("resnet18-*"))) == 1


def test_nobody_to_answer_is_told_and_nothing_deleted(places, prunebench, tmp_path, monkeypatch):
    (folder,) = (tmp_path / "runs").glob("resnet18-structured-*")
    monkeypatch.setattr("sys.stdin", io.StringIO())
    finished = prunebench("runs", "--delete", folder.name, *places)
    assert finished.status == 2
    assert finished.err.endswith("Error: --delete asks first, and there is nobody to answer: give --yes.\n")
    assert folder.is_dir()


def test_only_runs_of_the_folder_are_deleted(places, prunebench, tmp_path):
    (folder,) = (tmp_path / "runs").glob("resnet18-structured-*")
    (tmp_path / "elsewhere").mkdir()
    shutil.copytree(folder, tmp_path / "elsewhere" / folder.name)
    for name in (str(tmp_path / "elsewhere" / folder.name), "../elsewhere", "..", "/", "no-such-run"):
        finished = prunebench("runs", "--delete", name, "--yes", *places)
        assert finished.status == 2, finished.out
    assert (tmp_path / "elsewhere" / folder.name / "run.json").is_file()
    assert folder.is_dir()


def test_a_run_that_is_a_link_is_not_deleted_through_it(places, prunebench, tmp_path):
    (folder,) = (tmp_path / "runs").glob("resnet18-structured-*")
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    finished = prunebench("runs", "--delete", folder.name, "--yes", *places)
    assert (finished.status, finished.err.strip()) == (
        2,
        f"Error: {folder} is a link: remove it yourself, or delete the run where that lies.",
    )
    assert (tmp_path / "elsewhere" / "run.json").is_file()


def test_a_folder_is_on_a_line_whatever_it_is_called(places, prunebench, tmp_path):
    (folder,) = (tmp_path / "runs").glob("resnet18-structured-*")
    folder.rename(folder.with_name("a\nb\u2028c\x1b[31m"))
    finished = prunebench("runs", *places)
    assert finished.status == 0, finished.err
    assert re.search(r"^a\\nb\\u2028c\\x1b\[31m +finished", finished.out, re.MULTILINE)


def test_a_run_that_is_computed_is_not_deleted(places, prunebench, tmp_path):
    (folder,) = (tmp_path / "runs").glob("resnet18-structured-*")
    with held(folder):
        finished = prunebench("runs", "--delete", folder.name, "--yes", *places)
    assert finished.status == 2
    assert f"is being computed by process {os.getpid()}" in finished.err
    assert (folder / "run.json").is_file()
