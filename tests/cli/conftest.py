"""The command line in this process, and a run that it makes once."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import pytest

from prunebench.cli.main import main

NET = """
from torch import nn

def build(classes):
    layers = [nn.Conv2d(3, 20, 3), nn.ReLU(), nn.Conv2d(20, 40, 3), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(40, classes))
"""


@dataclass(frozen=True)
class Finished:
    """What a call of the command line came to."""

    status: int
    out: str
    err: str


@dataclass(frozen=True)
class Made:
    """A pruning run made by the command line: its folder, the options that made it, and what it printed."""

    folder: Path
    options: tuple[str, ...]
    finished: Finished

    @property
    def places(self) -> tuple[str, ...]:
        """The options that say where runs and results are."""
        return ("--runs-dir", str(self.folder / "runs"), "--results-dir", str(self.folder / "performance"))


def call_main(*arguments: str) -> Finished:
    """Run the command line in this process, as the console script does; fixtures of modules do so too."""
    out, err, logger = io.StringIO(), io.StringIO(), logging.getLogger("prunebench")
    handlers, level, propagate = list(logger.handlers), logger.level, logger.propagate
    argv = patch.object(sys, "argv", ["prunebench", *arguments])
    with argv, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as stop:
        main()
    logger.handlers, logger.propagate = handlers, propagate
    logger.setLevel(level)
    return Finished(int(stop.value.code or 0), out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def prunebench() -> Callable[..., Finished]:
    """The command line."""
    return call_main


@pytest.fixture(scope="session")
def net_text() -> str:
    """A file of the user's with a model of two convolutions, `build`."""
    return NET


@pytest.fixture
def net(net_text: str, tmp_path: Path) -> tuple[str, ...]:
    """The options of a model of two convolutions, for small images, in a file in the test's folder."""
    (tmp_path / "net.py").write_text(net_text, encoding="utf-8")
    return ("--model", str(tmp_path / "net.py:build"), "--image-size", "12")


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """ResNet18, trained on a few digits and structurally pruned in two steps by the command line."""
    options = ("--model", "resnet18", "--limit-train", "200", "--limit-test", "100", "--epochs", "1")
    made = Made(tmp_path_factory.mktemp("digits"), options, Finished(0, "", ""))
    return Made(
        made.folder, options, call_main("prune", *options, "--iterations", "2", "--finetune-epochs", "1", *made.places)
    )
