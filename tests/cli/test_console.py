"""The console: results to stdout, notes to stderr, bars on a terminal and plain lines elsewhere."""

from __future__ import annotations

import io
import json
import logging
import sys

import click
import pytest

from prunebench.cli.console import Console
from prunebench.errors import plain
from prunebench.training.fit import Tick


def tick(batch=1, epoch=0, phase="finetune", step=2):
    return Tick(phase, step, epoch, 2, batch, 4, loss=0.5, metric="top1", score=0.75)


def say_everything(console, record):
    console.note("a note")
    console.result("a result")
    console.records([record])
    logging.getLogger("prunebench.experiment.loop").info("some news")
    logging.getLogger("prunebench.experiment.loop").warning("a doubt")


def test_results_and_notes_are_apart(capsys, make_record):
    say_everything(Console(), make_record())
    out, err = capsys.readouterr()
    assert out == "a result\n"
    assert err == "a note\nsome news\nWarning: a doubt\n"


def test_json_replaces_results_by_records(capsys, make_record):
    say_everything(Console(as_json=True), make_record(3))
    out, _ = capsys.readouterr()
    assert json.loads(out)["step"] == 3


@pytest.mark.parametrize("name", ["\x1b[31mred", "\x9b31m", "\u202egnp", "caf\udce9", "猫"])
def test_records_of_any_names_are_json_and_no_control_is_printed(name, capsys, make_record):
    console = Console(as_json=True)
    console.records([make_record(model=name)])
    console.note(name.encode("utf-8", "replace").decode())  # streams tell bytes by their number: test_streams.py
    out, err = capsys.readouterr()
    assert json.loads(out)["model"] == name
    assert out == plain(out)
    assert err == plain(err)


def test_progress_of_what_counts_nothing_is_a_share(capsys):
    Console().tick(Tick("check images", 0, 0, 1, 1, 4, loss=None, metric="", score=0.0))
    assert capsys.readouterr().err == "check images   25%\n"


@pytest.mark.parametrize("as_json", [True, False])
def test_quiet_says_nothing(as_json, capsys, make_record):
    console = Console(as_json, quiet=True)
    say_everything(console, make_record())
    console.tick(tick(4, 1))
    assert capsys.readouterr() == ("", "")


def test_elsewhere_progress_is_a_line_at_the_end_and_now_and_then(capsys, monkeypatch):
    console = Console()
    console._said = float("inf")  # it is never time for a line
    for epoch in (0, 1):
        for batch in (1, 2, 3, 4):
            console.tick(tick(batch, epoch))
    assert capsys.readouterr().err.splitlines() == ["step 2 finetune  100%  epoch 2/2  loss 0.500  accuracy 0.750"]
    console._said = 0.0
    console.tick(tick(1, phase="train", step=0))
    assert capsys.readouterr().err == "train   12%  epoch 1/2  loss 0.500  accuracy 0.750\n"


def test_progress_of_an_evaluation_has_no_epoch_and_no_loss(capsys):
    console = Console()
    console.tick(Tick("evaluate test", 0, 0, 1, batch=3, batches=4, loss=None, metric="top1", score=0.75))
    assert capsys.readouterr().err == "evaluate test   75%  accuracy 0.750\n"


def test_on_a_terminal_progress_is_a_bar_that_goes_away(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    console = Console()
    console.tick(tick(2))
    assert "step 2 finetune" in terminal.getvalue()
    bar = console._bar
    bar.mininterval = 0  # else nothing is drawn again so soon
    console.tick(tick(3, 1))
    assert console._bar is bar
    assert "epoch 2/2" in terminal.getvalue()
    assert "left" in terminal.getvalue()
    console.tick(tick(4, 1))
    assert terminal.getvalue().endswith("\r")
    assert console._bar is None
    with click.Context(click.Command("prune")):
        console = Console()
        console.tick(tick(2))
        assert console._bar is not None
    assert console._bar is None  # an error that ends the command is not printed onto the bar
    assert terminal.getvalue().endswith("\r")
