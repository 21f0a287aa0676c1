"""Determinism: which layer has no deterministic kernel on a device, told before anything is trained."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils.module_tracker import ModuleTracker

from prunebench.data.task import Objective
from prunebench.errors import DeviceError
from prunebench.models.input_spec import output_of
from prunebench.models.taken_over import copied

_LACKS = re.compile(r"(\S+) does not have a deterministic implementation")


def check_deterministic(model: nn.Module, inputs: Any, targets: torch.Tensor, objective: Objective) -> None:
    """Raise DeviceError where a forward and backward pass in training takes an operation that its device computes
    otherwise each time, while deterministic algorithms are asked for; the layer is named where one takes it.

    Whatever else is wrong with the model is left to others to tell.

    Args:
        model: a copy of it passes on the device of the batch, and no numbers are drawn that others would draw.
        inputs, targets: a batch.
    """
    learner, tracker = copied(model).train().to(targets.device), ModuleTracker()
    with torch.random.fork_rng(devices=[]), torch.enable_grad(), tracker:
        try:
            objective.loss(output_of(learner, inputs), targets).backward()
        except Exception as error:  # a user's model fails in its own ways
            if (found := _LACKS.search(str(error))) is None:
                return
            root = type(learner).__name__
            layers = [name.removeprefix(f"{root}.") for name in tracker.parents if name not in (root, "Global")]
            raise _refused(found[1], targets.device, max(layers, key=len, default="")) from error


@contextmanager
def deterministic_or_told(device: torch.device) -> Iterator[None]:
    """Within it, an operation that cannot be computed alike each time, where that is asked for, is a DeviceError."""
    try:
        yield
    except RuntimeError as error:
        if (found := _LACKS.search(str(error))) is None:
            raise
        raise _refused(found[1], device) from error


def _refused(operation: str, device: torch.device, layer: str = "") -> DeviceError:
    where = f" of layer {layer}" if layer else ""
    return DeviceError(
        f"--deterministic: {operation}{where} has no deterministic kernel on {device.type}. Leave --deterministic "
        f"out, or use another layer or device."
    )
