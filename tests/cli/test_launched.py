"""Under torchrun the first process runs the command, and the others compute with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from prunebench.cli.launched import check_together, leading, with_devices
from prunebench.cli.stopping import resuming
from prunebench.config import RunConfig
from prunebench.errors import ConfigError
from prunebench.experiment.resolve import pruning_run
from prunebench.runs.launcher import launched, leads

MODELS = Path(__file__).parents[1] / "survival" / "models.py"
TORCHRUN = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "prunebench")


@pytest.fixture
def first_of_four(monkeypatch):
    """This process is the first of four."""
    about = {"RANK": "0", "WORLD_SIZE": "4", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1", "LOCAL_WORLD_SIZE": "4"}
    for name, value in about.items():
        monkeypatch.setenv(name, value)


def test_without_a_launcher_nothing_is_another_than_it_was(monkeypatch):
    monkeypatch.setenv("RANK", "3")  # alone it means nothing
    config = RunConfig(model="resnet18")
    assert (launched(), leads(), with_devices(config)) == (1, True, config)
    check_together("runs")
    with leading():
        pass


@pytest.mark.usefixtures("first_of_four")
def test_a_launchers_processes_are_the_devices_and_another_number_is_refused(monkeypatch):
    assert (launched(), leads()) == (4, True)
    assert with_devices(RunConfig(devices=4)) == with_devices(RunConfig()) == RunConfig(devices=4)
    with pytest.raises(ConfigError, match="--devices 2: torchrun has begun 4 processes"):
        with_devices(RunConfig(devices=2))
    check_together("prune")
    with pytest.raises(click.UsageError, match="compare is done by one process: give it without torchrun"):
        check_together("compare")
    monkeypatch.setattr(sys, "argv", ["prunebench", "prune", "--model", "x"])
    assert resuming() == "torchrun --nproc-per-node 4 -m prunebench prune --model x"


def options(folder):
    places = ("--runs-dir", str(folder / "runs"), "--results-dir", str(folder / "performance"), "--threads", "1")
    about = ("--image-size", "12", "--limit-train", "64", "--limit-test", "20", "--device", "cpu")
    return (
        "prune",
        "--model",
        f"{MODELS}:cnn",
        *about,
        "--epochs",
        "1",
        "--iterations",
        "1",
        "--finetune-epochs",
        "1",
        *places,
    )


@pytest.mark.slow
def test_torchrun_computes_what_devices_does_to_the_bit(tmp_path):
    alone = ("-m", "prunebench", *options(tmp_path / "b"), "--devices", "2")
    for command in ((*TORCHRUN, *options(tmp_path / "a")), alone):
        done = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=200, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("Test accuracy over 20 samples") == 1
    files = [
        sorted(path.relative_to(tmp_path / each) for path in (tmp_path / each).rglob("steps/*/*")) for each in "ab"
    ]
    assert files[0] == files[1]
    for path in files[0]:
        if path.name != "record.json":
            assert (tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes()


@pytest.mark.slow
def test_a_process_of_torchrun_that_is_killed_ends_all_within_seconds(tmp_path):
    command = [sys.executable, *TORCHRUN, *options(tmp_path), "--finetune-epochs", "1000"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as launcher:
        while "finetune" not in (line := launcher.stderr.readline()):
            assert line
        ranks = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()
        other = next(pid for pid in ranks if b"RANK=1" in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"))
        os.kill(int(other), signal.SIGKILL)
        begun = time.monotonic()
        said = launcher.stderr.read()
        assert launcher.wait() != 0
    assert time.monotonic() - begun < 30
    assert "The process of another device has ended, so this run cannot go on" in said
    about = {"limit_train": 64, "limit_test": 20, "epochs": 1, "iterations": 1, "finetune_epochs": 1000}
    config = RunConfig(model=f"{MODELS}:cnn", image_size=12, runs_dir=str(tmp_path / "runs"), **about)
    assert pruning_run(config).steps() == [0]
