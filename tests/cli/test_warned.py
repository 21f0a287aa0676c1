"""Of Python's warnings the user hears those of their own code, once, and no library's."""

import logging
import sys
import warnings

import pytest
import torch

from prunebench.cli.warned import warned

MODEL = """
import warnings

import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.scale = nn.Parameter(torch.ones(1, 8, 1, 1))
        self.out = nn.Linear(8, classes)

    def forward(self, images):
        warnings.warn("this net is \\x1b[31modd", stacklevel=1)
        return self.out((self.conv(images) * self.scale).mean((2, 3)))
"""
SMALL = ("--dataset", "digits", "--image-size", "8", "--limit-train", "40", "--limit-test", "20", "--epochs", "1")


@pytest.fixture(autouse=True)
def _as_python_has_them(monkeypatch):
    """Warnings are shown and not raised, and nobody said on Python's command line which."""
    monkeypatch.setattr(sys, "warnoptions", [])
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        yield


def test_a_prune_tells_what_the_users_own_code_warns_of_once(prunebench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(MODEL)
    finished = prunebench("prune", "--model", "net.py:Net", *SMALL, "--iterations", "1", "--finetune-epochs", "1")
    assert finished.status == 0
    told = [line for line in finished.err.splitlines() if "arning" in line]
    assert told == [r"Warning: net.py:16: this net is \x1b[31modd"]
    assert "removal proved exact on this model" in finished.err  # its own parameter too
    assert "Unwrapped parameters" not in finished.err


@pytest.mark.parametrize(
    ("place", "told"),
    [
        (__file__, True),
        ("/usr/lib/python3/site-packages/torch/cuda/__init__.py", True),
        (torch.__file__, False),
        (logging.__file__, False),
        (warned.__wrapped__.__code__.co_filename, False),
        ("<frozen importlib._bootstrap>", False),
    ],
)
def test_a_warning_is_told_by_where_it_is(place, told, caplog):
    with warned():
        for line in (3, 3, 4):
            warnings.warn_explicit("something", UserWarning, place, line)
    name = place.rpartition("/")[2]
    assert caplog.messages == [f"{name}:3: something", f"{name}:4: something"] * told


def test_afterwards_warnings_are_shown_as_before():
    before = warnings.showwarning
    with warned():
        assert warnings.showwarning is not before
    assert warnings.showwarning is before


def test_who_told_python_which_to_show_is_shown_these(monkeypatch):
    monkeypatch.setattr(sys, "warnoptions", ["default"])
    before = warnings.showwarning
    with warned():
        assert warnings.showwarning is before


@pytest.mark.parametrize("debug", [True, False])
def test_debug_shows_all(debug, prunebench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(MODEL)
    shown = []
    monkeypatch.setattr(warnings, "showwarning", lambda message, *place, **rest: shown.append(str(message)))
    arguments = ("train", "--model", "net.py:Net", *SMALL, *["--debug"] * debug)
    assert prunebench(*arguments).status == 0
    assert bool(shown) == debug
