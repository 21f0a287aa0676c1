"""The machine: which device computes, with how many threads, what of it is recorded, and how it is timed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch

from prunebench.alternation import Stopwatch, on_the_clock
from prunebench.config import Settings
from prunebench.errors import DeviceError
from prunebench.records import Environment
from prunebench.runs import environment as hardware


def use(settings: Settings) -> torch.device:
    """The device of an experiment; sets the number of CPU threads, and whether PyTorch's algorithms are deterministic.

    Of several devices each has a process of its own; unless it is said, they share the cores.

    Raises:
        DeviceError: this machine has no such device.
    """
    threads = settings.threads
    if threads is None and settings.devices > 1:
        threads = max(1, (os.cpu_count() or 1) // settings.devices)
    if threads is not None:
        torch.set_num_threads(threads)
    if settings.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS asks for it
    torch.use_deterministic_algorithms(settings.deterministic)
    have = ["cpu"]
    have += ["cuda"] if torch.cuda.is_available() else []
    have += ["mps"] if torch.backends.mps.is_available() else []
    if settings.device == "auto":
        return torch.device("cuda" if "cuda" in have else "cpu")
    if settings.device not in have:
        raise DeviceError(f"--device {settings.device}: this machine has none; it has: {', '.join(have)}.")
    return torch.device(settings.device)


def environment(device: torch.device, seed: int, extra: Sequence[str] = (), *, devices: int = 1) -> Environment:
    """The machine, the versions and the seed that a run on `device`, or several such, is computed with.

    `extra` names packages whose versions are recorded besides the usual ones.
    """
    return hardware.environment(
        seed=seed,
        device=device.type,
        hardware=torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        threads=torch.get_num_threads(),
        deterministic=torch.are_deterministic_algorithms_enabled(),
        packages=(*hardware.RECORDED, *extra),
        devices=devices,
    )


@contextmanager
def memory_for(batch_size: int, option: str) -> Iterator[None]:
    """Within it, running out of memory becomes a DeviceError that says which batch size was tried."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError):
            who = "The GPU"
        elif "can't allocate memory" in str(error):
            who = "This machine"
        else:
            raise
        raise DeviceError(
            f"{who} ran out of memory with batches of {batch_size} samples; finished steps are kept. Try {option} "
            f"{max(1, batch_size // 2)}, smaller inputs, or --dtype bf16."
        ) from error


def stopwatch_for(device: torch.device) -> Stopwatch:
    """What times a call on a device."""
    return _events if device.type == "cuda" else on_the_clock


def _events(call: Callable[[], object]) -> float:
    """Stopwatch of a GPU: the time between two events in its own queue, all work before being done."""
    torch.cuda.synchronize()
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    call()
    end.record()
    torch.cuda.synchronize()
    return float(start.elapsed_time(end))
