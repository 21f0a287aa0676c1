"""What Ctrl-C and `kill` do: the first asks the work to stop after its batch and to keep what it has."""

from __future__ import annotations

import shlex
import signal
import sys
from types import FrameType, TracebackType
from typing import Any

import click

from prunebench.errors import Stopped, plain
from prunebench.runs.launcher import command


class Terminated(KeyboardInterrupt):
    """SIGTERM came where there was nothing to keep, or a second time."""


class Stopping:
    """While it is entered, the first SIGINT or SIGTERM is remembered, for `asked`; the second stops at once.

    On leaving it by Stopped, it says how to go on, and exits with 130 (SIGINT) or 143 (SIGTERM).
    """

    def __init__(self) -> None:
        self._signal = 0
        self._before: dict[int, Any] = {}

    def asked(self) -> bool:
        """Whether a signal asked to stop."""
        return self._signal != 0

    def __enter__(self) -> Stopping:
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:  # a job in the background ignores Ctrl-C
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if isinstance(error, Stopped):
            click.echo(f"{error} What was computed is kept. Go on with:\n    {resuming()}", err=True)
            raise click.exceptions.Exit(128 + self._signal) from None

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._signal:
            raise KeyboardInterrupt if number == signal.SIGINT else Terminated
        self._signal = number
        click.echo("\nStopping after this batch, and keeping what is computed; once more stops at once.", err=True)


def terminate(number: int, frame: FrameType | None) -> None:
    """Handle SIGTERM as Ctrl-C is handled."""
    raise Terminated


def resuming() -> str:
    """The command that goes on where this one was stopped: itself, without what would start over."""
    words, left = sys.argv[1:], []
    while words:
        word = words.pop(0)
        if word == "--redo":
            words = words[1:]
        elif word != "--fresh" and not word.startswith("--redo="):
            left.append(word)
    return plain(shlex.join([*command(), *left]))
