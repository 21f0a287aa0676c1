"""Backends: the backends that a model is timed on, one file each.

A backend loads a model once and runs it at several batch sizes. To add one, add a file that registers a Backend.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prunebench.registry import Registry

if TYPE_CHECKING:
    import torch

    from prunebench.models.checkpoint import Checkpoint


@dataclass(frozen=True)
class Loaded:
    """A model in a backend.

    Attributes:
        place: turns a batch, as `InputSpec.example` makes it, into what the backend reads, on its device.
        runner: batch size → the function that turns what `place` made into logits (a tensor or an array of shape
            (batch, classes)); whatever the backend has to do for a batch size, such as compiling, it does here or in
            the first call.
    """

    place: Callable[[Any], Any]
    runner: Callable[[int], Callable[[Any], Any]]


@dataclass(frozen=True)
class Backend:
    """A registered backend.

    Attributes:
        load: (state, device, dtype) → Loaded. Does not change the model of `state`, which is on the device, in fp32
            and eval mode; may share its weights. Uses as many threads as PyTorch.
        needs: packages that must be installed besides those of prunebench.
        extra: the extra of prunebench that installs them.
        dtypes: "fp32", "bf16": those that it computes in.
        devices: types of the devices that it computes on; empty: all.
        few_steps: preparing a model takes so long that only the first, middle and last step are timed by default.
    """

    name: str
    summary: str
    load: Callable[[Checkpoint, torch.device, str], Loaded]
    needs: tuple[str, ...] = ()
    extra: str = ""
    dtypes: tuple[str, ...] = ("fp32", "bf16")
    devices: tuple[str, ...] = ()
    few_steps: bool = False


backends: Registry[Backend] = Registry("backend", "prunebench.latency.backends", None)
