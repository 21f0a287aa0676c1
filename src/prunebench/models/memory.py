"""Memory: the most that PyTorch's allocator holds while something runs, and what a device has free."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

MEMORY = Path("/proc/meminfo")
GROUP = Path("/proc/self/cgroup")
GROUPS = Path("/sys/fs/cgroup")
"""Where Linux says how much memory there is, and how much of it a group of processes, as a container, may take."""


def free_bytes(device: torch.device) -> int | None:
    """Bytes that a device has free; None where that is not known, as on a CPU without /proc/meminfo."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type != "cpu" or not MEMORY.is_file():
        return None
    lines = MEMORY.read_text(encoding="ascii").splitlines()
    free = next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), None)
    return None if free is None else min((free, *_left_to_groups()))


def _left_to_groups() -> Iterator[int]:
    """Bytes left to each group that this process is in and that has a bound (cgroup v2)."""
    try:
        lines = GROUP.read_text(encoding="utf-8").splitlines()
        place = GROUPS / next((line[3:].strip("/") for line in lines if line.startswith("0::")), "")
        for folder in (place, *place.parents):
            if folder == GROUPS.parent:
                return
            bound = folder / "memory.max"
            if bound.is_file() and (most := bound.read_text(encoding="ascii").strip()) != "max":
                stat = dict(line.split() for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines())
                taken = int((folder / "memory.current").read_text(encoding="ascii"))
                yield max(0, int(most) - taken + int(stat.get("inactive_file", 0)))  # which gives way
    except (OSError, ValueError):
        return


def peak_bytes(call: Callable[[], object], device: torch.device) -> int:
    """Bytes that are held at once during a call, beyond those held before it; its result counts.

    On the CPU: of what this thread allocates. What the call frees of what was held before does not lessen them.
    """
    with _no_garbage_freed(device):
        return _peak_of_cuda(call, device) if device.type == "cuda" else _peak_of_cpu(call)


@contextmanager
def _no_garbage_freed(device: torch.device) -> Iterator[None]:
    """What the garbage collector frees would be taken for a call's doing: young garbage goes first, old waits.

    All that was ever imported would else be looked through each time: a fifth of a second. On a GPU it is, for room.
    """
    gc.collect(2 if device.type == "cuda" else 1)
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _peak_of_cuda(call: Callable[[], object], device: torch.device) -> int:
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    call()
    torch.cuda.synchronize(device)
    return int(torch.cuda.max_memory_allocated(device)) - before


def _peak_of_cpu(call: Callable[[], object]) -> int:
    held = peak = 0
    for change in _changes(call):
        held += change
        peak = max(peak, held)
    return peak


def _changes(call: Callable[[], object]) -> list[int]:
    """Bytes that the CPU's allocator hands out (positive) and takes back (negative) during a call, in order.

    From the events of PyTorch's profiler. A TorchDispatchMode that follows storages would miss the work space of
    convolutions and attention, and everything in compiled code.
    """
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else the profiler writes to stderr
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiled:
        result = call()
    del result  # only now: what is returned is held to the end
    events = profiled.profiler.kineto_results.events()
    changes = [event for event in events if event.name() == "[memory]"]
    return [event.nbytes() for event in sorted(changes, key=lambda event: event.start_ns())]
