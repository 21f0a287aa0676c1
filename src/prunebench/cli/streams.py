"""Streams: stdin, stdout and stderr as they come. What cannot be printed ends no work; the exit status tells of it."""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from prunebench.cli.signs import PLAINLY, plainly

BROKEN_PIPE = 141
"""What a shell has for a command whose output nobody reads any more: 128 + SIGPIPE."""

WINDOWS = os.name == "nt"

ASCII = "plain_ascii"
"""ASCII under another name: click takes a stream of ASCII for a mistake, and prints UTF-8 to it."""


class Streams:
    """While it is entered, stdout and stderr print something for every sign, and lose what cannot be written.

    A stream that is closed is as if it were the null device, also for whatever opens files: nobody gets its number.
    """

    def __init__(self) -> None:
        self._patient: list[_Patient] = []
        self._leaving = ExitStack()

    def __enter__(self) -> Streams:
        _occupy()
        codecs.register_error(PLAINLY, plainly)
        codecs.register(_ascii)
        self._leaving.callback(codecs.unregister, _ascii)
        self._leaving.callback(_set, sys.stdin, sys.stdout, sys.stderr)
        _set(sys.stdin or self._null("r"), self._borne(sys.stdout), self._borne(sys.stderr))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._leaving.close()

    def status(self, status: int) -> int:
        """The exit status of work that ended with `status`: if all went well but for a stream, that says so."""
        sys.stdout.flush()
        sys.stderr.flush()
        failures = [stream.failure for stream in self._patient if stream.failure is not None]
        if status or not failures:
            return status
        if all(map(_nobody_reads, failures)):
            return BROKEN_PIPE
        reason = next(failure.strerror or failure for failure in failures if not _nobody_reads(failure))
        print(f"Error: Not everything could be printed: {reason}. What was computed is kept.", file=sys.stderr)
        return 2

    def _borne(self, stream: Any) -> Any:
        """A stream that prints whatever the given one can print; one that is no file stays as it is."""
        if stream is None:
            return self._null("w")
        if not isinstance(stream, io.TextIOWrapper):
            return stream
        stream.flush()
        patient = _Patient(stream)
        self._patient.append(patient)
        self._leaving.callback(patient.detach)
        with suppress(OSError, AttributeError):  # not every system has them
            if not os.get_blocking(stream.fileno()):  # it would lose what its reader is not ready for
                os.set_blocking(stream.fileno(), True)
                self._leaving.callback(os.set_blocking, stream.fileno(), False)
        return patient

    def _null(self, mode: str) -> Any:
        return self._leaving.enter_context(Path(os.devnull).open(mode, encoding="utf-8", errors=PLAINLY))


class _Patient(io.TextIOWrapper):
    """A stream, written to until that fails; the failure is kept, and what comes after it is dropped."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        encoding = ASCII if codecs.lookup(stream.encoding).name == "ascii" else stream.encoding
        super().__init__(
            stream.buffer,
            encoding,
            PLAINLY,
            line_buffering=stream.line_buffering,
            write_through=stream.write_through,
        )
        self.failure: OSError | None = None

    def write(self, text: str) -> int:
        self._tried(super().write, text)
        return len(text)

    def flush(self) -> None:
        self._tried(super().flush)

    def detach(self) -> Any:
        self.flush()
        return super().detach()

    def _tried(self, do: Callable[..., object], *what: str) -> None:
        if self.failure is None:
            try:
                do(*what)
            except OSError as error:
                self.failure = error
                self._drop()

    def _drop(self) -> None:
        """Have what is left in the buffers, and would be tried again when Python ends, go nowhere."""
        with suppress(OSError):
            handle = os.open(os.devnull, os.O_WRONLY)
            os.dup2(handle, self.fileno())
            os.close(handle)


def _set(stdin: Any, stdout: Any, stderr: Any) -> None:
    sys.stdin, sys.stdout, sys.stderr = stdin, stdout, stderr


def _ascii(name: str) -> codecs.CodecInfo | None:
    """Search function of codecs for ASCII under another name."""
    if name != ASCII:
        return None
    of = codecs.lookup("ascii")
    coders = of.streamreader, of.streamwriter, of.incrementalencoder, of.incrementaldecoder
    return codecs.CodecInfo(of.encode, of.decode, *coders, ASCII)


def _occupy() -> None:
    """Give the numbers of streams that are closed to the null device: a file of a run must not get them."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            handle = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
            os.set_inheritable(handle, True)


def _nobody_reads(failure: OSError) -> bool:
    gone = (errno.EPIPE, errno.ECONNRESET, errno.ESHUTDOWN)
    return failure.errno in gone or (WINDOWS and failure.errno == errno.EINVAL)  # what Windows says of a pipe
