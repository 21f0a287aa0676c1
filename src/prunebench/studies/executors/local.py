"""Jobs in processes of this machine, one after the other or several at once.

A pipe to each process is all that it shares with others: whatever else they shared, a process that is killed could hold
for ever.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing import connection
from typing import TYPE_CHECKING, Any

from prunebench.studies.executors import Executor, Options, executors

if TYPE_CHECKING:
    from prunebench.studies.jobs import Job, Outcome

TICK = 0.5
"""Seconds after which it is asked again whether to stop."""


@dataclass
class Worker:
    """A process, the pipe to it, and the job that it does."""

    process: Any
    pipe: Any
    job: Job | None = None


def run(jobs: Sequence[Job], options: Options) -> Iterator[Outcome]:
    """Do the jobs in `options.jobs` processes, which load PyTorch once each."""
    from prunebench.studies.jobs import unfit

    context = multiprocessing.get_context("spawn")
    stopped = False
    waiting = list(jobs)
    done: dict[str, Outcome] = {}
    workers: list[Worker] = []
    try:
        while waiting or any(worker.job for worker in workers):
            if options.stop() and not stopped:
                stopped = True
                waiting.clear()
                for each in workers:
                    with suppress(OSError):  # one that has died is told of below
                        each.pipe.send(None)
            for job in [job for job in waiting if job.needs in done and not done[job.needs].fine]:
                waiting.remove(job)
                done[job.key] = unfit(job, done[str(job.needs)])
                yield done[job.key]
            there = {job.key for job in jobs} - done.keys()  # a job may begin when what it needs is not among these
            while ready := [job for job in waiting if job.needs not in there]:
                worker = _free(workers, options.jobs, context)
                if worker is None:
                    break
                try:
                    worker.pipe.send(ready[0])
                except OSError:  # it was killed while it had nothing to do
                    worker.process.join()
                    workers.remove(worker)
                    continue
                worker.job = ready[0]
                waiting.remove(ready[0])
            for outcome in _heard(workers, options):
                done[outcome.key] = outcome
                yield outcome
    finally:
        for worker in workers:
            worker.pipe.close()  # an idle worker ends by that
            if worker.job is not None:
                worker.process.kill()
            worker.process.join()


def _free(workers: list[Worker], most: int, context: Any) -> Worker | None:
    """A worker that has nothing to do, a new one if need be; None where all are busy."""
    for worker in workers:
        if worker.job is None:
            return worker
    if len(workers) == most:
        return None
    mine, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs,), daemon=False)
    process.start()
    theirs.close()
    workers.append(Worker(process, mine))
    return workers[-1]


def _heard(workers: list[Worker], options: Options) -> Iterator[Outcome]:
    """What workers have to say, after a while at most."""
    from prunebench.studies.jobs import Outcome

    busy = {worker.pipe: (worker, worker.job) for worker in workers if worker.job is not None}
    for pipe in connection.wait(list(busy), TICK):
        worker, job = busy[pipe]
        try:
            said = worker.pipe.recv()
        except (EOFError, ConnectionResetError):
            worker.process.join()
            workers.remove(worker)
            code = worker.process.exitcode
            told = options.stop() and code == -signal.SIGTERM  # which came to all processes of the study
            said = Outcome(job.key, stopped=True) if told else Outcome(job.key, error=_died(code))
        if isinstance(said, Outcome):
            worker.job = None
            alone = said.stopped and not options.stop()
            yield replace(said, error=_died(-signal.SIGTERM), stopped=False) if alone else said
        elif options.told is not None:
            options.told(job, said)


def _died(code: int | None) -> str:
    how = f"was killed by {signal.Signals(-code).name}" if code is not None and code < 0 else f"ended with {code}"
    return f"Its process {how}; was there enough memory? What it had finished is kept: give the command again."


def _work(pipe: Any) -> None:
    """Do jobs that come through the pipe, until it is closed or None comes; while a job is done, that stops it."""
    from prunebench.studies.jobs import do

    if not sys.warnoptions:  # of Python's -W and PYTHONWARNINGS
        warnings.simplefilter("ignore")  # what libraries warn of is no news of the study
    terminated = threading.Event()

    def stop() -> bool:
        try:
            return terminated.is_set() or bool(pipe.poll())
        except OSError:
            return True

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the study is told, and asks its workers to stop
    signal.signal(signal.SIGTERM, lambda number, frame: terminated.set())  # as comes to all, or to this one alone
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            job = pipe.recv()
        except (EOFError, ConnectionResetError):
            return
        if job is None:
            return
        terminated.clear()
        pipe.send(do(job, stop, lambda job, record: pipe.send(record)))


def _end_with_parent() -> None:
    """End this process when the one that began it has been killed: its lock is then free for the next."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    signal.raise_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)


executors.add("local", Executor("local", "processes of this machine", run))
