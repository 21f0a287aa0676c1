"""Jobs as tasks of a Ray cluster, whose nodes share the folders of runs and data.

A task asks for as many CPUs as its run has threads, and for a GPU where it computes on one; both times its `devices`,
on one node. A task whose node is lost is tried again on another, where its run goes on after its last finished epoch.
On a board, an actor of its own, tasks tell of steps, and read whether to stop. Where it is lost, with what it was told,
another takes its place: so a task tells of all its steps again when it ends.
"""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from prunebench.studies.executors import Executor, Options, executors

if TYPE_CHECKING:
    from prunebench.records import StepRecord
    from prunebench.studies.jobs import Job, Outcome

    Result = tuple[Outcome, list[StepRecord]]

Answer = TypeVar("Answer")

TICK = 0.5
"""Seconds after which it is asked again whether to stop."""

RETRIES = 5
"""Times that a task is tried again after its node or process was lost."""


def run(jobs: Sequence[Job], options: Options) -> Iterator[Outcome]:
    """Do the jobs on the cluster at `options.address`, or on one that is begun on this machine and ended after.

    A process that is connected to a cluster already does them there, and stays connected.

    Raises:
        ConfigError: there is no cluster at the address, or none of its nodes is large enough for a run.
    """
    import ray

    connected = ray.is_initialized()
    if not connected:
        _connect(ray, options)
    try:
        yield from _outcomes(ray, jobs, options)
    finally:
        if not connected:
            ray.shutdown()


def _connect(ray: Any, options: Options) -> None:
    here = {"num_cpus": options.jobs} if options.address is None else {}
    if options.address is not None:
        _check_answers(options.address)
    handler = signal.getsignal(signal.SIGTERM)
    ray.init(address=options.address or "local", configure_logging=False, log_to_driver=False, **here)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)  # Ray has put its own in place, which ends the process at once


def _check_answers(address: str) -> None:
    """Raise ConfigError where nothing listens at an address of a Ray cluster: Ray itself asks there for minutes."""
    from prunebench.errors import ConfigError

    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=10):
            pass
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"--address {address}: no Ray cluster answers there ({error}). It looks like 10.0.0.1:6379."
        ) from error


class Board:
    """What the study and its tasks tell each other."""

    def __init__(self) -> None:
        self._stopping = False
        self._news: list[tuple[str, StepRecord]] = []
        self._begun: set[str] = set()

    def begin(self, key: str) -> None:
        """A task has begun."""
        self._begun.add(key)

    def tell(self, key: str, record: StepRecord) -> None:
        """A task has done a step."""
        self._news.append((key, record))

    def news(self) -> list[tuple[str, StepRecord]]:
        """Steps that were done since this was last asked."""
        found, self._news = self._news, []
        return found

    def stop(self) -> set[str]:
        """Ask tasks to stop after their batch; returns those that have begun."""
        self._stopping = True
        return self._begun

    def stopping(self) -> bool:
        """Whether tasks are to stop."""
        return self._stopping


def _outcomes(ray: Any, jobs: Sequence[Job], options: Options) -> Iterator[Outcome]:
    resources = [_resources(ray, job) for job in jobs]
    task, board = ray.remote(_do), ray.remote(num_cpus=0, max_restarts=-1)(Board).remote()
    keys: dict[Any, Job] = {}
    refs: dict[str, Any] = {}
    by_key = {job.key: job for job in jobs}
    for job, wanted in zip(jobs, resources, strict=True):  # what others need comes first
        ref = task.options(max_retries=RETRIES, **wanted).remote(job, refs.get(job.needs or ""), board)
        keys[ref], refs[job.key] = job, ref
    stopped = False
    heard: dict[str, set[int]] = {job.key: set() for job in jobs}
    while keys:
        if stopped or options.stop():
            begun: set[str] = _asked(ray, board.stop, set())  # again and again: a board that was lost has forgotten it
            for ref in [ref for ref, job in keys.items() if not stopped and job.key not in begun]:
                ray.cancel(ref)
            stopped = True
        ready, _ = ray.wait(list(keys), timeout=TICK)
        news: list[tuple[str, StepRecord]] = _asked(ray, board.news, [])
        for key, record in news:
            if record.step == len(heard[key]):  # after one that was lost none is heard before the end
                _hear(options, heard, by_key[key], [record])
        for ref in ready:
            job = keys.pop(ref)
            outcome, records = _result(ray, ref, job)
            _hear(options, heard, job, records)
            yield outcome


def _hear(options: Options, heard: dict[str, set[int]], job: Job, records: Sequence[StepRecord]) -> None:
    """Tell of steps of a job that were not heard of before; a task that is tried again tells of all that it finds."""
    for record in records:
        if options.told is not None and record.step not in heard[job.key]:
            heard[job.key].add(record.step)
            options.told(job, record)


def _result(ray: Any, ref: Any, job: Job) -> Result:
    """What a task that has ended came to."""
    from prunebench.studies.jobs import Outcome

    try:
        result: Result = ray.get(ref)
    except ray.exceptions.TaskCancelledError:
        return Outcome(job.key, stopped=True), []
    except ray.exceptions.RayError as error:
        reason = str(error).strip().splitlines()[0]
        return Outcome(job.key, error=f"Ray gave it up after {RETRIES} more tries: {reason}"), []
    return result


def _asked(ray: Any, question: Any, otherwise: Answer) -> Answer:
    """What the board says; something else where it was lost."""
    try:
        answer: Answer = ray.get(question.remote())
    except ray.exceptions.RayError:
        return otherwise
    return answer


def _resources(ray: Any, job: Job) -> dict[str, float]:
    """What a task asks for.

    Raises:
        ConfigError: no node has as much.
    """
    from prunebench.errors import ConfigError

    device, threads = job.config.device, job.config.threads or 1
    on_gpu = device == "cuda" or (device == "auto" and ray.cluster_resources().get("GPU", 0) > 0)
    threads, gpus = threads * job.config.devices, float(job.config.devices) if on_gpu else 0.0
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(node.get("CPU", 0) >= threads and node.get("GPU", 0) >= gpus for node in nodes):
        raise ConfigError(
            f"No node of the Ray cluster has {threads} CPU(s){f' and {gpus:g} GPU(s)' if gpus else ''}, which a run of "
            f"this study asks for; give fewer `threads` or `devices`, or another `device`, in [base]."
        )
    return {"num_cpus": float(threads), "num_gpus": gpus}


def _do(job: Job, needed: Result | None, board: Any) -> Result:
    """The task, and the steps that it tells of; Ray begins it when `needed`, the result of another task, is there."""
    import ray

    from prunebench.studies.jobs import Outcome, do, unfit

    if needed is not None and not needed[0].fine:
        return unfit(job, needed[0]), []
    records: list[StepRecord] = []
    started, stopping, over = time.monotonic(), threading.Event(), threading.Event()
    board.begin.remote(job.key)

    def ask() -> None:
        while not over.wait(TICK):
            if _asked(ray, board.stopping, False):
                stopping.set()

    def tell(job: Job, record: StepRecord) -> None:
        records.append(record)
        board.tell.remote(job.key, record)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    try:
        return do(job, stopping.is_set, tell), records
    except KeyboardInterrupt:  # what ray.cancel raises
        return Outcome(job.key, stopped=True, seconds=time.monotonic() - started), records
    finally:
        over.set()
        asking.join()


executors.add(
    "ray",
    Executor("ray", "a Ray cluster, whose nodes share the folders of runs and data", run, needs=("ray",), extra="ray"),
)
