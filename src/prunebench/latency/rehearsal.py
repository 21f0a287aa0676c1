"""Rehearsal: files of others are opened and run once, in a process of its own, before they are timed.

A file may hold an endless loop, ask for more memory than there is, or crash its runtime: a process can be ended for it,
and this one goes on. Knows no torch.
"""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

import msgspec

from prunebench.errors import ConfigError, ModelError, PrunebenchError, Stopped
from prunebench.latency.opened_files import feeder, first_line, opened

LEAST = 10.0
"""Seconds that a file may take to open, or to run once, however small the budget is."""

TICK = 0.2
"""Seconds after which it is asked again whether to stop."""

MEMORY = Path("/proc/meminfo")

NO_MEMORY = ("bad_alloc", "Failed to allocate memory", "maximum possible size")
"""What runtimes and NumPy say where there is not enough."""

CHILD = """
import json, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever began this process is told, and ends it
path, piece = map(json.loads, sys.stdin)
sys.path[:] = path
from prunebench.latency.rehearsal import perform
perform(piece)
"""


class Piece(msgspec.Struct, frozen=True):
    """What is rehearsed: every file at every batch size, all of them open at once."""

    paths: tuple[str, ...]
    backend: str
    batch_sizes: tuple[int, ...]
    length: int
    threads: int


class Cue(msgspec.Struct, frozen=True):
    """What the child does next, and of which file; or, with an error, why it ended."""

    path: str = ""
    batch_size: int = 0
    error: str = ""
    users: bool = False

    @property
    def does(self) -> str:
        """`does not run with batches of 4 samples`: what is said of a file with which it ends here."""
        return f"does not run with batches of {self.batch_size} sample(s)" if self.batch_size else "cannot be opened"


def rehearse(piece: Piece, *, seconds: float, stop: Callable[[], bool] | None = None) -> None:
    """See that every file opens and runs.

    Args:
        piece: the files, and how they are run.
        seconds: that each may take to open, and to run once; LEAST, if that is more.
        stop: asked a few times a second whether to stop.

    Raises:
        ModelError: a file does not open or run, takes longer, or more memory than there is; or its runtime crashes.
        Stopped: `stop` asked for it.
    """
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # runtimes write to it as they like
    )
    with child:
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            child.stdin.write(_line(sys.path) + _line(piece))
            child.stdin.close()
            _attend(_cues(child.stdout), max(seconds, LEAST), stop or (lambda: False))
        finally:
            child.kill()


def _attend(cues: queue.Queue[Cue | None], seconds: float, stop: Callable[[], bool]) -> None:
    """Follow what the child does until it has done all."""
    cue, since = Cue(), time.monotonic()
    while True:
        if stop():
            raise Stopped("Stopped while files were opened.")
        try:
            said = cues.get(timeout=TICK)
        except queue.Empty:
            if time.monotonic() - since < seconds:
                continue
            raise ModelError(f"{cue.path} {cue.does} within {seconds:.0f} s; give more with --time-budget.") from None
        if said is None:
            raise ModelError(f"{cue.path} {cue.does}: its runtime crashed, or there was not enough memory.")
        if said.error:
            raise (ConfigError if said.users else ModelError)(said.error)
        if not said.path:
            return
        cue, since = said, time.monotonic()


def _cues(stream: IO[bytes]) -> queue.Queue[Cue | None]:
    """What the child says, and None at its end."""
    found: queue.Queue[Cue | None] = queue.Queue()

    def listen() -> None:
        with suppress(ValueError, OSError):  # the stream is closed, for the child was ended
            for line in stream:
                found.put(msgspec.convert(json.loads(line), Cue))
        found.put(None)

    threading.Thread(target=listen, daemon=True).start()
    return found


def _line(told: object) -> bytes:
    """As JSON in ASCII, whose escapes hold names of any bytes."""
    return json.dumps(msgspec.to_builtins(told)).encode() + b"\n"


def perform(piece: object) -> None:
    """In the child: open and run the files, and say before each what is done."""
    told = msgspec.convert(piece, Piece)
    say, sys.stdout = sys.stdout.buffer, sys.stderr  # whatever else prints
    _limit_memory()

    def cue(found: Cue) -> None:
        say.write(_line(found))
        say.flush()

    current = Cue()
    try:
        for current in _performed(told):
            cue(current)
        cue(Cue())
    except PrunebenchError as error:
        cue(Cue(error=str(error), users=isinstance(error, ConfigError)))
    except Exception as error:  # the runtime's own kinds
        short = isinstance(error, MemoryError) or any(words in str(error) for words in NO_MEMORY)
        reason = "there is not enough memory." if short else first_line(error)
        cue(Cue(error=f"{current.path} {current.does}: {reason}"))


def _performed(piece: Piece) -> Iterator[Cue]:
    """Do all of it, yielding before each part what it is."""
    files = []
    for path in piece.paths:
        yield Cue(path)
        files.append((path, feeder(Path(path), piece.length), opened(Path(path), piece.backend, piece.threads)))
    for size in piece.batch_sizes:
        for path, feed, run in files:
            yield Cue(path, size)
            run(feed(size))


def _limit_memory() -> None:
    """Have this process fail where it would take more memory than is there; as far as the system lets one say so."""
    with suppress(ImportError, OSError, ValueError, StopIteration):
        import resource

        lines = MEMORY.read_text(encoding="ascii").splitlines()
        there = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
        mine = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (mine + there, resource.RLIM_INFINITY))
