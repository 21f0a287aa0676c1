"""Jobs as tasks of a Ray cluster, whose nodes share the folders of runs and data.

A task asks for as many CPUs as its run has threads, and for a GPU where it computes on one. A task whose node is lost
is tried again on another, where its run goes on after its last finished epoch.
"""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from prunebench.studies.executors import Executor, Options, executors

if TYPE_CHECKING:
    from prunebench.studies.jobs import Job, Outcome

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


def _outcomes(ray: Any, jobs: Sequence[Job], options: Options) -> Iterator[Outcome]:
    from prunebench.studies.jobs import Outcome

    resources = [_resources(ray, job) for job in jobs]
    task = ray.remote(_do)
    keys: dict[Any, Job] = {}
    refs: dict[str, Any] = {}
    for job, wanted in zip(jobs, resources, strict=True):  # what others need comes first
        ref = task.options(max_retries=RETRIES, **wanted).remote(job, refs.get(job.needs or ""))
        keys[ref], refs[job.key] = job, ref
    cancelled = False
    while keys:
        if options.stop() and not cancelled:
            cancelled = True
            for ref in keys:
                ray.cancel(ref)
        ready, _ = ray.wait(list(keys), timeout=TICK)
        for ref in ready:
            job = keys.pop(ref)
            try:
                yield ray.get(ref)
            except ray.exceptions.TaskCancelledError:
                yield Outcome(job.key, stopped=True)
            except ray.exceptions.RayError as error:
                reason = str(error).strip().splitlines()[0]
                yield Outcome(job.key, error=f"Ray gave it up after {RETRIES} more tries: {reason}")


def _resources(ray: Any, job: Job) -> dict[str, float]:
    """What a task asks for.

    Raises:
        ConfigError: no node has as much.
    """
    from prunebench.errors import ConfigError

    device, threads = job.config.device, job.config.threads or 1
    gpus = 1.0 if device == "cuda" or (device == "auto" and ray.cluster_resources().get("GPU", 0) > 0) else 0.0
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(node.get("CPU", 0) >= threads and node.get("GPU", 0) >= gpus for node in nodes):
        raise ConfigError(
            f"No node of the Ray cluster has {threads} CPU(s){' and a GPU' if gpus else ''}, which a run of this study "
            f"asks for; give fewer `threads` or another `device` in [base]."
        )
    return {"num_cpus": float(threads), "num_gpus": gpus}


def _do(job: Job, needed: Outcome | None) -> Outcome:
    """The task; Ray begins it when `needed`, the outcome of another task, is there."""
    from prunebench.studies.jobs import Outcome, do, unfit

    if needed is not None and not needed.fine:
        return unfit(job, needed)
    started = time.monotonic()
    try:
        return do(job)
    except KeyboardInterrupt:  # what ray.cancel raises
        return Outcome(job.key, stopped=True, seconds=time.monotonic() - started)


executors.add(
    "ray",
    Executor("ray", "a Ray cluster, whose nodes share the folders of runs and data", run, needs=("ray",), extra="ray"),
)
