"""Several processes of one command, of torchrun or of `--devices`: the first runs it, the others compute with it."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import click
import msgspec

from prunebench.config import RunConfig
from prunebench.errors import ConfigError, DeviceError, PrunebenchError, plain
from prunebench.runs.launcher import launched, leads

SECONDS_TO_FINISH = 5.0
"""How long a process goes on that is asked to end, so that the first can finish its batch, and keep it."""

TOGETHER = ("train", "prune")
"""Commands that several processes do together."""


@contextmanager
def leading() -> Iterator[None]:
    """Within it, the first process runs its command; in the others, what is within is not run."""
    if launched() == 1:
        yield
        return
    if not leads():
        follow()
    fine = False
    try:
        yield
        fine = True
    except SystemExit as end:
        fine = not end.code
        raise
    finally:
        from prunebench.experiment.team import dismiss

        dismiss(fine=fine)


def check_together(command: str) -> None:
    """Raise a usage error where several processes are to do what one does."""
    if launched() > 1 and command not in TOGETHER:
        raise click.UsageError(
            f"{command} is done by one process: give it without torchrun, which is for {' and '.join(TOGETHER)}."
        )


def with_devices(config: RunConfig) -> RunConfig:
    """A config with as many devices as a launcher has begun processes.

    Raises:
        ConfigError: it asks for another number.
    """
    if launched() == 1:
        return config
    if config.devices not in (None, launched()):
        raise ConfigError(f"--devices {config.devices}: torchrun has begun {launched()} processes. Leave it out.")
    return msgspec.structs.replace(config, devices=launched())


def follow() -> NoReturn:
    """Compute with the first process until it is done, and exit; what is wrong on this device is told in a line."""
    logging.disable()
    _end_with_the_first()
    status = 1
    try:
        from prunebench.experiment import following

        following.follow()
        status = 0
    except DeviceError as error:
        if error.__cause__ is None:  # else others have ended, which the first one tells
            _tell(str(error))
    except Exception as error:
        _tell(str(error) if isinstance(error, PrunebenchError) else f"{type(error).__name__}: {error}")
    os._exit(status)  # a thread waits for the first process


def _tell(what: str) -> None:
    click.echo(f"Error on device {os.environ['RANK']}: {plain(what)}", err=True)


def _end_with_the_first() -> None:
    """Leave it to the first process what Ctrl-C and `kill` do, and end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if launched() == 1:  # begun by --devices, whose end standard input tells
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        threading.Thread(target=_await_end, daemon=True).start()
    elif hasattr(signal, "pthread_sigmask"):  # a handler would wait for what the main thread waits for
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_await_signal, daemon=True).start()


def _await_end() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


def _await_signal() -> None:
    signal.sigwait({signal.SIGTERM})
    time.sleep(SECONDS_TO_FINISH)
    os._exit(128 + signal.SIGTERM)
