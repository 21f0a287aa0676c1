"""What the user sees while a command works: notes, progress, results."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click
import msgspec

from prunebench.errors import legible, plain
from prunebench.records import METRICS
from prunebench.results.old_names import with_old_names

if TYPE_CHECKING:
    from prunebench.training.fit import Tick

SECONDS_BETWEEN_LINES = 30.0


class Console:
    """Results go to stdout; notes and progress to stderr, progress as a bar on a terminal (no dumb one), else as lines.

    Args:
        as_json: results are records, one JSON object per line, instead of tables.
        quiet: nothing but errors.
    """

    def __init__(self, as_json: bool = False, quiet: bool = False) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self._bar: Any = None
        self._what = ""
        self._said = 0.0
        if context := click.get_current_context(silent=True):
            context.call_on_close(self.clear)  # an error is not printed onto the bar
        logger = logging.getLogger("prunebench")
        logger.setLevel(logging.ERROR if quiet else logging.INFO)
        logger.handlers = [_Notes(self)]
        logger.propagate = False

    def note(self, line: str) -> None:
        """A line about what is going on."""
        if not self.quiet:
            self.clear()
            click.echo(plain(line), err=True)

    def result(self, text: str) -> None:
        """Text that the command was called for; left out where records are printed instead."""
        if not self.quiet and not self.as_json:
            self.clear()
            click.echo(plain(text))

    def records(self, records: Iterable[msgspec.Struct]) -> None:
        """Records, where --json asks for them."""
        if self.as_json and not self.quiet:
            for record in records:
                click.echo(_json(with_old_names(record)))

    def tick(self, tick: Tick) -> None:
        """Progress of training."""
        if self.quiet:
            return
        what = f"step {tick.step} {tick.phase}" if tick.step else tick.phase
        total, done = tick.epochs * tick.batches, tick.epoch * tick.batches + tick.batch
        of_fit = "" if tick.loss is None else f"epoch {tick.epoch + 1}/{tick.epochs}  loss {tick.loss:.3f}  "
        state = f"{of_fit}{METRICS[tick.metric].title} {tick.score:.3f}" if tick.metric else ""
        if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
            self._draw(what, done, total, state)
        elif (done == total and tick.loss is not None) or time.monotonic() - self._said > SECONDS_BETWEEN_LINES:
            self._said = time.monotonic()
            click.echo(f"{what}  {done / total:4.0%}  {state}".rstrip(), err=True)

    def clear(self) -> None:
        """Take the progress bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _draw(self, what: str, done: int, total: int, state: str) -> None:
        from tqdm import tqdm

        if self._bar is None or self._what != what:
            self.clear()
            self._what = what
            self._bar = tqdm(
                total=total,
                desc=what,
                leave=False,
                dynamic_ncols=True,
                bar_format="{desc} {percentage:3.0f}% |{bar:10}| {remaining} left{postfix}",
            )
        self._bar.set_postfix_str(state, refresh=False)
        self._bar.update(done - self._bar.n)
        if done == total:
            self.clear()


def _json(value: Any) -> str:
    """A value as JSON; where a name has signs that a terminal would obey, or bytes that are no UTF-8, as ASCII."""
    try:
        text = msgspec.json.encode(value).decode()
    except UnicodeEncodeError:
        return json.dumps(value)
    return text if text == plain(text) else json.dumps(value)


class _Notes(logging.Handler):
    """Prints what the library logs; of warnings each once, though runs are read again and again."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self._warned: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if record.levelno >= logging.WARNING:
            if message in self._warned:
                return
            self._warned.add(message)
            self._console.clear()
            click.echo(f"Warning: {legible(message)}", err=True)
        else:
            self._console.note(message)
