"""Backends: the backends that a model is timed on, one file each.

A backend loads a model once and runs it at several batch sizes. To add one, add a file that registers a Backend.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prunebench.records import Quantised
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
        file_bytes: of the file that the backend reads, if it reads one.
        quantised: how the model was made int8, if it was.
    """

    place: Callable[[Any], Any]
    runner: Callable[[int], Callable[[Any], Any]]
    file_bytes: int | None = None
    quantised: Quantised | None = None


@dataclass(frozen=True)
class Backend:
    """A registered backend.

    Attributes:
        load: (state, device, dtype) → Loaded. Does not change the model of `state`, which is on the device, in fp32
            and eval mode; may share its weights. Uses as many threads as PyTorch.
        needs: packages that must be installed besides those of prunebench.
        extra: the extra of prunebench that installs them.
        dtypes: "fp32", "tf32", "bf16", "fp16", "int8": those that it computes in.
        load_int8: (state, batches) → the model in fp32 and in int8, ranges of activations found on these batches;
            where it computes in int8.
        devices: types of the devices that it computes on; empty: all.
        few_steps: preparing a model takes so long that only the first, middle and last step are timed by default.
    """

    name: str
    summary: str
    load: Callable[[Checkpoint, torch.device, str], Loaded]
    needs: tuple[str, ...] = ()
    extra: str = ""
    dtypes: tuple[str, ...] = ("fp32", "tf32", "bf16", "fp16")
    load_int8: Callable[[Checkpoint, Sequence[Any]], tuple[Loaded, Loaded]] | None = None
    devices: tuple[str, ...] = ()
    few_steps: bool = False


backends: Registry[Backend] = Registry("backend", "prunebench.latency.backends", None)
