"""Ctrl-C and `kill`: the first keeps what is computed and tells how to go on, the second stops at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import click
import pytest

from prunebench.cli.stopping import Stopping, Terminated, resuming
from prunebench.errors import Stopped


@pytest.fixture(autouse=True)
def _signals_as_on_a_terminal():
    """A job in the background ignores Ctrl-C, and so would its children."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


WAYS = [(signal.SIGINT, 130, KeyboardInterrupt), (signal.SIGTERM, 143, Terminated)]


@pytest.mark.parametrize(("number", "status", "second"), WAYS)
def test_the_first_signal_asks_and_the_second_stops_at_once(number, status, second, capsys):
    before = signal.getsignal(number)
    asked = []

    def work():
        with Stopping() as stopping:
            for _ in range(3):
                asked.append(stopping.asked())
                os.kill(os.getpid(), number)
                time.sleep(0.1)

    with pytest.raises(second):
        work()
    assert asked == [False, True]
    assert signal.getsignal(number) is before
    assert "once more stops at once" in capsys.readouterr().err


@pytest.mark.parametrize(("number", "status", "second"), WAYS)
def test_what_stopped_says_how_to_go_on(number, status, second, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/prunebench", "prune", "--model", "my net.py:f", "--fresh"])

    def work():
        with Stopping():
            os.kill(os.getpid(), number)
            raise Stopped("Stopped in epoch 2 of 5.")

    with pytest.raises(click.exceptions.Exit) as stop:
        work()
    assert stop.value.exit_code == status
    told = capsys.readouterr().err
    assert "Stopped in epoch 2 of 5. What was computed is kept. Go on with:" in told
    assert told.endswith("    prunebench prune --model 'my net.py:f'\n")


@pytest.mark.parametrize(
    ("given", "left"),
    [
        (["prune", "--fresh", "--model", "x"], "prunebench prune --model x"),
        (["prune", "--redo", "3", "--model", "x"], "prunebench prune --model x"),
        (["prune", "--redo=3"], "prunebench prune"),
        (["train", "--redo"], "prunebench train"),
    ],
)
def test_what_starts_over_is_not_repeated(given, left, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["prunebench", *given])
    assert resuming() == left


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)]
)
def test_a_run_that_is_stopped_goes_on_to_the_same_table(number, status, net, prunebench, tmp_path):
    """A real process: the signal comes while it trains or prunes."""
    options = (
        *net,
        "--limit-train",
        "400",
        "--limit-test",
        "100",
        "--epochs",
        "40",
        "--iterations",
        "2",
        "--finetune-epochs",
        "1",
    )
    places = ("--runs-dir", str(tmp_path / "runs"), "--results-dir", str(tmp_path / "performance"))
    command = (sys.executable, "-m", "prunebench", "prune", *options, *places, "--threads", "1")
    elsewhere = ("--runs-dir", str(tmp_path / "whole"), "--results-dir", str(tmp_path / "whole"), "--threads", "1")
    whole = prunebench("prune", *options, *elsewhere)
    assert whole.status == 0, whole.err
    told = ""
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            told += line
            if "training it first" in line:
                process.send_signal(number)
    assert process.returncode == status, told
    assert "once more stops at once" in told
    assert " ".join(options) in told.splitlines()[-1]
    assert list((tmp_path / "runs").glob("*/progress-000-*/model.safetensors"))
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "training goes on after epoch" in done.stderr
    assert done.stdout == whole.out
    assert not list((tmp_path / "runs").glob("*/progress-*"))


def test_a_job_in_the_background_goes_on_ignoring_ctrl_c():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Stopping() as stopping:
        os.kill(os.getpid(), signal.SIGINT)
        assert not stopping.asked()
