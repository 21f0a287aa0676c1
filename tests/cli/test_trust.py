"""Code that a run names is imported where this machine's user gave it, or says so; and only what is needed.

Every file of the user's leaves its name in `imported` when it is executed, and again when its function is called.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import msgspec
import pytest

from prunebench import user_code
from prunebench.reading import sha256
from prunebench.runs import trust, user_files
from prunebench.runs.manifest import encode, read_manifest

MARK = """
from pathlib import Path
def mark(what):
    with open({folder!r} + "/imported", "a") as file:
        file.write(Path(__file__).stem + what + " ")
mark("")
"""
NET = """
from torch import nn
def build(classes, width=4):
    mark("()")
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes))
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.ReLU(), *head)
def destroy(classes):
    mark("!")
"""
PARTS = """
import numpy as np
from prunebench import Dataset, Split
def load():
    mark("()")
    labels = np.arange(24) % 3
    images = (np.random.default_rng(0).integers(0, 99, (24, 8, 8)) + 50 * labels[:, None, None]).astype(np.uint8)
    return Dataset(Split(images, labels), Split(images, labels), ["a", "b", "c"])
"""
MINE = """
def score(weight):
    mark("()")
    return weight.abs()
"""
MAKE = ("prune", "--model", "net.py:build", "--dataset", "parts.py:load", "--criterion", "mine.py:score")
TINY = (
    "--image-size",
    "8",
    "--epochs",
    "1",
    "--iterations",
    "1",
    "--finetune-epochs",
    "1",
    "--batch-size",
    "8",
    "--until",
    "macs<=0.9",
)

COMMANDS = {
    "evaluate": ("evaluate", "--run", "RUN"),
    "verify": ("verify", "RUN"),
    "export": ("export", "RUN", "--output", "out.safetensors"),
    "efficiency": ("efficiency", "--run", "RUN", "--batch-sizes", "1", "--time-budget", "0.1"),
}
NEEDED = {
    "evaluate": {"net", "net()", "parts", "parts()"},
    "verify": {"net", "net()", "parts", "parts()"},
    "export": {"net", "net()"},
    "efficiency": {"net", "net()"},
}


@pytest.fixture(scope="module")
def project(tmp_path_factory, prunebench):
    """A run of a user's own model, data and criterion, and the folder of state in which that is noted."""
    folder, state = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("XDG_STATE_HOME", str(state))
        for name, text in (("net", NET), ("parts", PARTS), ("mine", MINE)):
            (folder / f"{name}.py").write_text(MARK.format(folder=str(folder)) + text)
            os.utime(folder / f"{name}.py", (10**9, 10**9))
        finished = prunebench(*MAKE, *TINY)
        assert "written" in finished.err, finished.err
    (run,) = (folder / "runs").glob("net-structured-*")
    assert imported(folder) == {"net", "net()", "parts", "parts()", "mine", "mine()"}
    return folder, state, run


def imported(folder):
    path = folder / "imported"
    return set(path.read_text().split()) if path.exists() else set()


@pytest.fixture
def here(project, monkeypatch):
    """The machine that the run was made on, by a process that has imported nothing yet; gives the run's folder."""
    folder, state, run = project
    (folder / "imported").unlink(missing_ok=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_STATE_HOME", str(state))
    forget()
    yield run
    forget()


@pytest.fixture
def elsewhere(here, tmp_path, monkeypatch):
    """Another machine, on which nothing was given, but the same files are."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return here


@pytest.fixture
def odd(elsewhere, tmp_path):
    """Makes a copy of the run that says something else, in a folder of runs of its own."""

    def make(structure=None, **config):
        run = tmp_path / "runs" / elsewhere.name
        shutil.copytree(elsewhere, run)
        manifest = read_manifest(run / "run.json")
        files = dict(manifest.files)
        if structure is not None:
            for path in run.glob("steps/*/structure.json"):
                about = msgspec.json.decode(path.read_bytes())
                about["architecture"] |= structure
                path.write_bytes(msgspec.json.encode(about))
                files[path.relative_to(run).as_posix()] = sha256(path)
        changed = msgspec.structs.replace(manifest, config=manifest.config | config, files=files)
        (run / "run.json").write_bytes(encode(changed.sealed()))
        return run

    return make


def forget():
    user_code._read.clear()
    user_files._imported.clear()
    for name in [name for name in sys.modules if name.startswith(user_code.USER_MODULE)]:
        del sys.modules[name]


def call(prunebench, command, run, *more):
    words = [str(run) if word == "RUN" else word for word in COMMANDS[command]]
    return prunebench(*words, *more)


@pytest.mark.parametrize("command", COMMANDS)
def test_of_a_run_that_was_made_here_what_is_needed_is_imported_without_a_word(command, here, prunebench):
    finished = call(prunebench, command, here.name)
    assert finished.status == 0, finished.err
    assert imported(here.parents[1]) == NEEDED[command]


@pytest.mark.parametrize("command", COMMANDS)
def test_of_a_run_from_elsewhere_nothing_is_imported_and_what_to_do_is_told(command, elsewhere, prunebench):
    before = sorted(elsewhere.parents[1].rglob("*"))
    finished = call(prunebench, command, elsewhere, *(["--fresh"] if command == "efficiency" else []))
    assert (finished.status, finished.out) == (2, "")
    (told,) = [line for line in finished.err.splitlines() if line.startswith("Error: ")]
    assert ".py:" in told
    assert "which was not given on this machine or has changed since, and is not imported. Give what " in told
    assert "FILE:FUNCTION; or have it imported by --trust" in told
    assert imported(elsewhere.parents[1]) == set()
    assert [path for path in sorted(elsewhere.parents[1].rglob("*")) if ".digests" not in path.parts] == before


@pytest.mark.parametrize("command", COMMANDS)
def test_of_a_run_that_is_trusted_what_is_needed_is_imported(command, elsewhere, prunebench, tmp_path):
    finished = call(prunebench, command, elsewhere, "--trust", *(["--fresh"] if command == "efficiency" else []))
    assert finished.status == 0, finished.err
    assert imported(elsewhere.parents[1]) == NEEDED[command]
    assert not (tmp_path / "state").exists()  # once is not always


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_given_in_its_place_is_imported_instead(command, elsewhere, prunebench, tmp_path):
    for name in ("net", "parts"):
        text = (elsewhere.parents[1] / f"{name}.py").read_text()
        (tmp_path / f"my_{name}.py").write_text(text)
    model = ("--model", f"{tmp_path / 'my_net.py'}:build")
    fresh = ("--fresh",) if command == "efficiency" else ()
    if "parts" in NEEDED[command]:
        finished = call(prunebench, command, elsewhere, *model)
        assert finished.status == 2
        assert "parts.py:load, which was not given on this machine" in finished.err
        assert "Give what loads its data: --dataset FILE:FUNCTION; or have it imported by --trust" in finished.err
        assert imported(elsewhere.parents[1]) <= {"my_net", "my_net()"}
        model += ("--dataset", f"{tmp_path / 'my_parts.py'}:load")
    finished = call(prunebench, command, elsewhere, *model, *fresh)
    assert finished.status == 0, finished.err
    assert imported(elsewhere.parents[1]) == {f"my_{name}" for name in NEEDED[command]}


def test_a_file_that_has_changed_since_is_not_the_one_that_was_given(here, prunebench):
    net = here.parents[1] / "net.py"
    text, about = net.read_bytes(), net.stat()
    try:
        net.write_bytes(text + b"\nmark('?')\n")
        finished = call(prunebench, "export", here)
        assert "or has changed since" in finished.err
        assert imported(here.parents[1]) == set()
        assert call(prunebench, "export", here, "--model", "net.py:build").status == 0
    finally:
        net.write_bytes(text)
        os.utime(net, ns=(about.st_atime_ns, about.st_mtime_ns))


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", ["evil:main", "evil.inner:main", "pip:main", "os:mkdir", "{folder}/net.py:destroy"])
def test_whatever_a_run_names_is_not_called(name, command, odd, project, prunebench, tmp_path, monkeypatch):  # noqa: PLR0917
    monkeypatch.setenv("XDG_STATE_HOME", str(project[1]))  # even where the file is one that was given
    (tmp_path / "evil").mkdir()
    for module in ("__init__", "inner"):
        text = MARK.format(folder=str(project[0])) + "def main(**anything):\n    mark('()')\n"
        (tmp_path / "evil" / f"{module}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    name = name.format(folder=project[0])
    finished = call(prunebench, command, odd({"model": name}, model=name, dataset=name, criterion=name))
    assert (finished.status, finished.out) == (2, ""), finished
    assert f"names {name}, which was not given on this machine" in finished.err
    assert imported(project[0]) == set()


@pytest.mark.parametrize("command", ["evaluate", "export"])
def test_a_function_that_was_given_is_not_called_with_other_arguments(command, odd, project, prunebench, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(project[1]))
    wide = {"classes": 3, "given": {"width": 64}}
    finished = call(prunebench, command, odd({"arguments": wide}))
    assert (finished.status, finished.out) == (2, "")
    assert "is named with other arguments in the checkpoint than in its run" in finished.err
    assert "net()" not in imported(project[0])


def test_arguments_that_were_not_given_are_not_believed_either(odd, project, prunebench, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(project[1]))
    wide = {"classes": 3, "given": {"width": 64}}
    finished = call(prunebench, "export", odd({"arguments": wide}, model_arg=["width=64"]))
    assert (finished.status, finished.out) == (2, "")
    assert "was not given on this machine" in finished.err
    assert imported(project[0]) == set()


@pytest.mark.parametrize("listing", [("report", "runs"), ("runs",), ("plot", "runs"), ("compare", "--study", "runs")])
def test_listings_import_nothing(listing, elsewhere, prunebench):
    assert "Traceback" not in prunebench(*listing).err
    assert imported(elsewhere.parents[1]) == set()
    assert prunebench("verify", str(next(elsewhere.parent.glob("net-efficiency-*"), elsewhere))).status in (0, 2)
    assert imported(elsewhere.parents[1]) == set()


@pytest.mark.parametrize("command", ["train", "prune"])
def test_data_is_not_taken_over_from_a_run_that_names_code_for_it(command, elsewhere, prunebench):
    words = (command, "--model", "net.py:build", "--weights", str(elsewhere), "--runs-dir", "other")
    finished = prunebench(*words)
    assert finished.status == 2
    told = "which --weights names, names"
    assert told in finished.err
    assert finished.err.rstrip().endswith("Give what loads its data: --dataset FILE:FUNCTION.")
    assert imported(elsewhere.parents[1]) <= {"net"}  # which the user has just given
    assert not Path("other").exists()


def test_settings_of_a_run_have_no_other_file_read(odd, prunebench, project, tmp_path):
    """A run's `weights` might name a file of settings, which names code."""
    (tmp_path / "first.toml").write_text(f'model = "resnet18"\ndataset = "{project[0]}/parts.py:load"\n')
    run = odd(model="resnet18", dataset="digits", weights=str(tmp_path / "first.toml"))
    assert call(prunebench, "export", run).status == 2  # the checkpoint is of another model
    assert call(prunebench, "evaluate", run).status == 2
    assert imported(project[0]) == set()


def test_that_a_criterion_has_changed_is_told_without_importing_it(here, prunebench):
    mine = here.parents[1] / "mine.py"
    text, about = mine.read_bytes(), mine.stat()
    try:
        mine.write_bytes(text + b"\nmark('?')\n")
        finished = call(prunebench, "verify", here)
        assert finished.status == 1
        assert "inputs   DIFFER: criterion changed since the run" in finished.out
        assert imported(here.parents[1]) == NEEDED["verify"]
    finally:
        mine.write_bytes(text)
        os.utime(mine, ns=(about.st_atime_ns, about.st_mtime_ns))


def test_nothing_is_noted_by_what_only_looks(project, elsewhere, prunebench, tmp_path):
    finished = prunebench(*MAKE, *TINY, "--dry-run")
    assert finished.status == 0, finished.err
    assert not (tmp_path / "state").exists()
    assert prunebench(*MAKE, *TINY).status in (0, 1)  # it is finished, and given again
    assert call(prunebench, "export", elsewhere).status == 0


def test_a_folder_of_state_that_cannot_be_written_stops_nothing(here, prunebench, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    for state in (tmp_path / "file", Path("/dev/null")):
        monkeypatch.setenv("XDG_STATE_HOME", str(state))
        assert prunebench(*MAKE, *TINY).status in (0, 1)
        assert "not given on this machine" in call(prunebench, "export", here).err


def test_the_folder_of_state_is_that_of_the_user(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert trust._folder() == tmp_path / "state" / "prunebench" / "given"
    monkeypatch.setenv("HOME", str(tmp_path))
    for unset in ("", "relative"):
        monkeypatch.setenv("XDG_STATE_HOME", unset)
        assert trust._folder() == tmp_path / ".local" / "state" / "prunebench" / "given"
