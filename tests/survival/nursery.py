"""A process that has imported everything and forks children that compute runs, and kills them.

It reads jobs from its standard input, one JSON object per line, and answers each with one when the child has ended.

    config     fields of a RunConfig
    after      seconds after which the child is killed with SIGKILL
    at         [file of prunebench, text of a line of it, count]: what is to happen happens when the child is about to
               execute that line for that time …
    do         … "kill": SIGKILL; "tear": the safetensors file that is written next is cut in half, then SIGKILL;
               "limit": no file may be longer than 0 bytes (RLIMIT_FSIZE); "fill": the disk is filled up, "nearly": but
               for 8 KiB; "readonly": from the beginning on, the disk is mounted read-only for this child
    write      whether text matrices are written: true, unless it says false
    line       kill the child when it is about to execute so many lines of STORE

The answer: `killed` by SIGKILL, `happened` what `at` asked for, `error` and `text` of an exception, `seconds`, and
`lines` executed in STORE where `line` was given.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import resource
import signal
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path

os.environ |= {"TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}

import datasets  # noqa: F401
import sklearn.datasets  # noqa: F401
import torch
import torch_pruning  # noqa: F401
import torchvision  # noqa: F401
import transformers.models.bert.modeling_bert  # noqa: F401

import prunebench
import prunebench.data.images
import prunebench.data.text
from prunebench import RunConfig
from prunebench.data.dataset import datasets as loaders
from prunebench.experiment.loop import prune
from prunebench.experiment.resolve import pruning_run
from prunebench.models import architecture, checkpoint
from prunebench.pruning import registry as methods
from prunebench.results import matrices
from prunebench.runs.environment import distributions

STORE = ("runs/run.py", "runs/progress.py", "runs/files.py")
"""Files of prunebench that write runs."""

BALLAST = "ballast"
HOME = Path(prunebench.__file__).parent


def compute(config, write):
    """What `prunebench prune` does, without its words."""
    run, records = pruning_run(config), []
    for record in prune(config, run):
        records.append(record)
        if write and len(records) >= len(run.steps()):  # no matrix loses the columns of steps that are there
            matrices.write_steps(run, records, config.results_dir)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def tear():
    whole = checkpoint.save_file

    def half(tensors, path, metadata):
        whole(tensors, path, metadata)
        os.truncate(path, Path(path).stat().st_size // 2)
        die()

    checkpoint.save_file = half


def limit():
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))


def fill(folder, spare=0):
    handle = os.open(folder / BALLAST, os.O_WRONLY | os.O_CREAT)
    for size in (2**20, 2**12, 1):
        try:
            while True:
                os.write(handle, bytes(size))
        except OSError:
            continue
    os.truncate(folder / BALLAST, max(0, os.fstat(handle).st_size - spare))
    os.close(handle)


def remount(folder, option):
    subprocess.run(["mount", "-o", f"remount,{option}", str(folder)], check=True, stdout=subprocess.DEVNULL)


def line_number(file, text):
    (number,) = [n for n, line in enumerate((HOME / file).read_text().splitlines(), 1) if text in line]
    return number


def trace(wanted, happen):
    """Have `happen` called before every line of functions of prunebench's files for which `wanted` answers True, in
    whichever thread, one at a time."""
    files = {str(HOME / name): name for name in wanted}
    alone = threading.Lock()

    def local(frame, event, arg):
        if event == "line" and wanted[files[frame.f_code.co_filename]](frame.f_lineno):
            with alone:
                happen()
        return local

    def named(frame, event, arg):  # a lambda's frame would have its line counted twice
        code = frame.f_code
        return local if code.co_filename in files and not code.co_name.startswith("<") else None

    threading.settrace(named)
    sys.settrace(named)


def lurk(job, folder, happened):
    """Arrange for what a job wants to happen."""
    if job.get("at"):
        file, text, count = job["at"]
        number, left = line_number(file, text), [count]
        deeds = {"kill": die, "tear": tear, "limit": limit, "fill": lambda: fill(folder)}
        deeds["nearly"] = lambda: fill(folder, 2**13)

        def happen():
            left[0] -= 1
            if left[0] == 0:
                os.write(happened, b"x")
                deeds[job["do"]]()

        trace({file: lambda line: line == number}, happen)
    if job.get("line"):
        left = [job["line"]]

        def count_down():
            left[0] -= 1
            os.write(happened, b"x")
            if left[0] == 0:
                die()

        trace({name: lambda line: True for name in STORE}, count_down)


def child(job, folder, happened, told):
    """Compute a job's run; what went wrong is written to `told`."""
    torch.set_num_threads(1)
    config = RunConfig(**job["config"])
    try:
        lurk(job, folder, happened)
        compute(config, job.get("write", True))
    except BaseException as error:
        sys.settrace(None)
        details = {"error": type(error).__name__, "text": str(error), "trace": traceback.format_exc()}
        os.write(told, json.dumps(details).encode())


def serve(job, folder):
    if job.get("do") == "readonly":
        remount(folder, "ro")
        try:
            return attend(job, folder)
        finally:
            remount(folder, "rw")
    return attend(job, folder)


def attend(job, folder):
    started = time.monotonic()
    happened, told = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            child(job, folder, happened[1], told[1])
        finally:
            os._exit(0)
    os.close(happened[1])
    os.close(told[1])
    if job.get("after") is not None:
        time.sleep(job["after"])
        os.kill(pid, signal.SIGKILL)
    with os.fdopen(happened[0], "rb") as file:  # before waiting: a full pipe would hold the child up
        count = len(file.read())
    _, status = os.waitpid(pid, 0)
    with os.fdopen(told[0], "rb") as file:
        error = json.loads(file.read() or b"{}")
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    died = -os.waitstatus_to_exitcode(status) if os.WIFSIGNALED(status) else 0
    seconds = time.monotonic() - started
    return {"killed": killed, "died": died, "happened": count > 0, "lines": count, "seconds": seconds, **error}


def main():
    folder = Path(sys.argv[1])
    for registry in (architecture.models, loaders, methods.methods, methods.criteria):
        registry.names()
    for module in pkgutil.walk_packages(prunebench.__path__, "prunebench."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    distributions(["no_such_module"])  # what is installed is looked through once, and not by every child
    gc.collect()
    gc.freeze()
    os.fsync = os.fstat  # children die, the machine does not
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(serve(json.loads(line), folder)), flush=True)


if __name__ == "__main__":
    main()
