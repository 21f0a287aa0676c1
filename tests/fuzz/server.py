"""A process that has imported everything and forks children that are the command line, each in a folder of its own.

It reads jobs from its standard input, one JSON object per line, and answers each with one when the child has ended.

    arguments  of the command line
    folder     where the child works
    patience   seconds after which the child gets SIGTERM, as from `kill`

The answer: the exit `status` (negative: the signal that ended it), `out`, `err`, and `seconds`. A child that does not
stop within GRACE seconds of SIGTERM is killed.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import resource
import signal
import socket
import sys
import time
from pathlib import Path

os.environ |= {"TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "MPLBACKEND": "agg"}

import matplotlib.pyplot  # noqa: F401
import onnxruntime  # noqa: F401
import plotly.offline  # noqa: F401
import scipy.stats  # noqa: F401
import torch
import torch_pruning  # noqa: F401
import torchvision  # noqa: F401

import prunebench
from prunebench.cli.main import COMMANDS, cli, main
from prunebench.data.dataset import datasets
from prunebench.latency.backends import backends
from prunebench.models.architecture import models
from prunebench.pruning.registry import criteria, methods
from prunebench.runs.environment import distributions

GRACE = 30.0
MEMORY = 3 * 2**29
"""Bytes of address space that a child may take besides what is imported."""


def unreachable(*args, **kwargs):
    raise socket.gaierror(-2, "Name or service not known")


def limit():
    if (told := Path("/proc/self/statm")).exists():
        most = int(told.read_text().split()[0]) * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**28, 2**28))


def child(job):
    os.setsid()
    os.chdir(job["folder"])
    for number, name in ((1, "out"), (2, "err")):
        handle = os.open(f"../{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for name, number in (("stdin", 0), ("stdout", 1), ("stderr", 2)):
        setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", encoding="utf-8", closefd=False))
    sys.argv = ["prunebench", *job["arguments"]]
    limit()
    main()


def attend(job):
    started = time.monotonic()
    pid = os.fork()
    if pid == 0:
        status = 70
        try:
            child(job)
        except SystemExit as stop:
            status = stop.code
        finally:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            os._exit(status)
    status = None
    for number, seconds in ((signal.SIGTERM, job["patience"]), (signal.SIGKILL, GRACE), (None, GRACE)):
        status = waited(pid, seconds)
        if status is not None:
            break
        os.kill(pid, number)
    texts = {name: (Path(job["folder"]).parent / name).read_text("utf-8", "surrogateescape") for name in ("out", "err")}
    return {"status": os.waitstatus_to_exitcode(status), "seconds": time.monotonic() - started, **texts}


def waited(pid, seconds):
    """Wait for a child, so many seconds at most; how it ended, or None."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return status
        time.sleep(0.005)
    return None


def ready():
    """Import all that a command may, and leave nothing for the garbage collector to look through in every child."""
    for registry in (models, datasets, methods, criteria, backends):
        registry.names()
    for name in COMMANDS:
        cli.get_command(None, name)
    for module in pkgutil.walk_packages(prunebench.__path__, "prunebench."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    distributions(["no_such_module"])  # what is installed is looked through once, and not by every child
    os.fsync = os.fstat  # no child outlives the machine
    gc.collect()
    gc.freeze()


def serve():
    ready()
    socket.getaddrinfo = socket.socket.connect = unreachable
    torch.set_num_threads(1)
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(attend(json.loads(line))), flush=True)


if __name__ == "__main__":
    serve()
