"""What a user names as output is written as a new file, or in the place of a plain one; nothing else is replaced."""

from __future__ import annotations

import os
import shutil
import stat

import pytest


@pytest.fixture
def runs(digits_run, tmp_path, monkeypatch):
    """A copy of a dense and a pruned run, in the working directory."""
    shutil.copytree(digits_run.folder / "runs", tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs"


def device(path):
    try:
        os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 3))  # as /dev/null is
    except PermissionError:
        pytest.skip("only root makes devices")


ODD = {
    "a pipe": os.mkfifo,
    "a device": device,
    "a folder": os.mkdir,
    "a link": lambda path: path.symlink_to("/proc/self/fd/1"),
}
COMMANDS = {
    "report": ("report", "runs", "-o"),
    "export": ("export", "KEY", "--output"),
    "prune": (
        "prune",
        "--model",
        "resnet18",
        "--limit-train",
        "20",
        "--epochs",
        "1",
        "--iterations",
        "1",
        "--finetune-epochs",
        "1",
        "--export",
    ),
}


def call(prunebench, command, output, runs):
    (key,) = (path.name for path in runs.glob("resnet18-structured-*"))
    return prunebench(*(key if word == "KEY" else word for word in COMMANDS[command]), output)


def content(folder):
    return {
        path.relative_to(folder).as_posix(): (path.lstat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in folder.rglob("*")
        if ".digests" not in path.parts
    }


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", ODD)
def test_what_is_no_plain_file_is_not_replaced(kind, command, runs, prunebench):
    ODD[kind](runs.parent / "out.onnx")
    before = content(runs.parent)
    finished = call(prunebench, command, "out.onnx", runs)
    assert (finished.status, finished.out) == (2, ""), finished
    assert (
        f"Error: out.onnx cannot be written: it is {kind}, and no plain file. Give the name of a file" in finished.err
    )
    assert content(runs.parent) == before


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", ["run.json", "steps/002/model.safetensors", "steps/002/new.safetensors", "new.onnx"])
def test_in_the_folder_of_a_run_only_the_run_writes(name, command, runs, prunebench):
    (run,) = runs.glob("resnet18-structured-*")
    if command == "prune" and not name.endswith("s"):
        name = f"{name}.onnx"
    (runs.parent / "link").symlink_to(run)
    for place in (run / name, f"runs/{run.name}/{name}", f"runs/../link/{name}"):
        before = content(runs)
        finished = call(prunebench, command, str(place), runs)
        assert (finished.status, finished.out) == (2, ""), finished
        assert f"is inside the run {run.name}, where only the run itself writes" in finished.err
        assert content(runs) == before


def test_a_run_that_is_yet_to_be_made_is_not_exported_into(runs, prunebench):
    planned = prunebench(*COMMANDS["prune"][:-1], "--dry-run").out
    key = next(line.split()[1] for line in planned.splitlines() if line.startswith("  run "))
    before = content(runs)
    finished = call(prunebench, "prune", f"runs/{key}/steps/000/model.safetensors", runs)
    assert (finished.status, finished.out) == (2, "")
    assert f"is inside the run {key}; give another place" in finished.err
    assert content(runs) == before


@pytest.mark.parametrize(("kind", "told"), [("a pipe", "no folder"), ("a device", "no folder"), ("a run", "inside")])
def test_pictures_go_into_folders_that_are_no_runs(kind, told, runs, prunebench):
    (run,) = runs.glob("resnet18-structured-*")
    if kind != "a run":
        ODD[kind](runs.parent / "plots")
    before = content(runs.parent)
    finished = prunebench("plot", "runs", "-o", str(run / "steps") if kind == "a run" else "plots")
    assert (finished.status, finished.out) == (2, "")
    assert told in finished.err
    assert content(runs.parent) == before


@pytest.mark.parametrize(("place", "told"), [("a pipe", "no folder"), ("a device", "no folder"), ("a run", "inside")])
def test_tables_go_into_folders_that_are_no_runs(place, told, runs, prunebench):
    (run,) = runs.glob("resnet18-structured-*")
    if place != "a run":
        ODD[place](runs.parent / "tables")
    before = content(runs.parent)
    where = str(run / "steps" / "new") if place == "a run" else "tables"
    finished = prunebench(*COMMANDS["prune"][:-1], "--results-dir", where)
    assert (finished.status, finished.out) == (2, "")
    assert told in finished.err
    assert content(runs.parent) == before


def test_a_picture_does_not_replace_a_pipe(runs, prunebench):
    assert prunebench("plot", "runs", "-o", "plots", "--figure", "accuracy").status == 0
    (picture,) = (runs.parent / "plots").glob("*.png")
    picture.unlink()
    os.mkfifo(picture)
    finished = prunebench("plot", "runs", "-o", "plots", "--figure", "accuracy")
    assert finished.status == 2
    assert "it is a pipe, and no plain file" in finished.err
    assert stat.S_ISFIFO(picture.lstat().st_mode)


def test_a_plain_file_is_replaced(runs, prunebench):
    (runs.parent / "out.safetensors").write_bytes(b"old")
    assert call(prunebench, "export", "out.safetensors", runs).status == 0
    assert (runs.parent / "out.safetensors").stat().st_size > 1000
