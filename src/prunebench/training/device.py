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

HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}
"""Arithmetics of 16 bits."""

PRECISIONS = {False: "fp32", True: "tf32"}
"""What fp32 products are computed in, as records tell it."""


def use(settings: Settings) -> torch.device:
    """The device of an experiment; sets the number of CPU threads, whether PyTorch's algorithms are deterministic, and
    whether products of fp32 may round their factors to TF32.

    Of several devices each has a process of its own; unless it is said, they share the cores.

    Raises:
        DeviceError: this machine has no such device, or the device has no such arithmetic.
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
    name = settings.device
    if name == "auto":
        name = "cuda" if "cuda" in have else "cpu"
    if name not in have:
        raise DeviceError(f"--device {name}: this machine has none; it has: {', '.join(have)}.")
    compute_in(settings.dtype, name)
    return torch.device(name)


def compute_in(dtype: str, device: str) -> None:
    """Set whether products of fp32 may round their factors to TF32, which is so where tf32 is asked for alone. PyTorch
    convolves in TF32 on CUDA if it is told nothing.

    The switches of before PyTorch 2.9 are used, which set those that came then too: `torch.compile` of some versions
    reads the one kind, of others the other, and fails where they differ.

    Raises:
        DeviceError: there is no TF32.
    """
    if dtype == "tf32" and device != "cuda":
        raise DeviceError(f"--dtype tf32 is for CUDA alone, and this is {device}: leave it out, or give --device cuda.")
    torch.set_float32_matmul_precision("high" if dtype == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = dtype == "tf32"


def tf32() -> bool:
    """Whether products of fp32 may round their factors to TF32."""
    return bool(torch.backends.cuda.matmul.fp32_precision == "tf32")


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
        precision=PRECISIONS[tf32()] if device.type == "cuda" else "",
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
