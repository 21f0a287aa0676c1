"""A finished run answers on a disk that nothing can be written to: mounted read-only where that is allowed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && cd "$0" && exec "$@"'
CALLS = """
import contextlib, io, json, sys
from prunebench.cli.main import main
found = []
for words in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    sys.argv = ["prunebench", *words]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as stop:
            status = stop.code or 0
    found.append([status, out.getvalue(), err.getvalue()])
print(json.dumps(found))
"""
STUDY = """
[base]
model = "net.py:build"
image_size = 12
limit_train = 40
limit_test = 20
epochs = 1
iterations = 1
[efficiency]
batch_sizes = [1]
time_budget = 0.1
"""
TIMES = ("--batch-sizes", "1", "--time-budget", "0.1", "--steps", "1")
GOAL = ("--until", "macs<=0.95", "--iterations", "3", "--finetune-epochs", "1")


@pytest.fixture(scope="module")
def answers(digits_run, net_text, tmp_path_factory, prunebench):
    """What commands say in a folder that became read-only after all was computed."""
    folder = tmp_path_factory.mktemp("read-only")
    try:
        mount = ["unshare", "-rm", "sh", "-c", READ_ONLY, str(folder)]
        allowed = subprocess.run([*mount, "touch", "x"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no unshare here")
    if "Read-only" not in allowed.stderr:
        pytest.skip("this machine does not let a folder be mounted read-only")
    shutil.copytree(digits_run.folder / "runs", folder / "runs")
    calls = {
        "train": ("train", *digits_run.options),
        "prune": ("prune", *digits_run.options, "--iterations", "2", "--finetune-epochs", "1"),
        "prune --keep": ("prune", *digits_run.options, "--iterations", "2", "--finetune-epochs", "1", "--keep", "last"),
        "prune --until": ("prune", *digits_run.options, *GOAL, "--fraction", "0.2"),
        "efficiency": ("efficiency", *digits_run.options, "--iterations", "2", "--finetune-epochs", "1", *TIMES),
        "evaluate": ("evaluate", *digits_run.options, "--iterations", "2", "--finetune-epochs", "1"),
        "verify": ("verify", next((folder / "runs").glob("resnet18-structured-*")).name),
        "runs": ("runs",),
        "compare": ("compare", "fraction=0.1", "fraction=0.2"),
        "study": ("study", "small.toml"),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        (folder / "small.toml").write_text(STUDY)
        (folder / "net.py").write_text(net_text)
        for name in ("prune --until", "efficiency", "study"):
            finished = prunebench(*calls[name])
            assert finished.status == 0, finished.err
    shutil.rmtree(folder / "performance")
    command = [*mount, sys.executable, "-c", CALLS, json.dumps(list(calls.values()))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(zip(calls, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize(
    ("name", "shows"),
    [
        ("train", "of training"),
        ("prune", "80.9 %"),
        ("prune --keep", "80.9 %"),
        ("prune --until", "it meets every goal"),
        ("efficiency", "speed-up"),
        ("evaluate", "recorded"),
        ("verify", "All 3 steps are as they were recorded."),
        ("runs", "finished"),
        ("compare", "Paired by seed"),
        ("study", "runs of the study small are finished"),
    ],
)
def test_what_is_finished_answers(name, shows, answers):
    status, out, err = answers[name]
    assert status == 0, err
    assert shows in out
    if name in ("prune", "prune --until", "efficiency"):
        assert "Warning: " in err
        assert "could not be written to performance: Read-only file system" in err
    if name == "prune --keep":
        assert "no checkpoint was removed" in err
