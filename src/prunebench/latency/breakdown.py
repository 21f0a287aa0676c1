"""Breakdown: figures that tell where a promised speed-up went."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn

from prunebench.models.input_spec import output_of

PASSES = 9
"""Passes whose median counts; the second and the last but one of nine bound it at 95 %."""

Passes = list[tuple[float, dict[str, float]]]
"""Per pass: seconds of the whole, and of each layer."""


def layer_times(model: nn.Module, inputs: Any, device: torch.device) -> Passes:
    """Seconds of a pass and of each layer that has parameters of its own, for several passes after an uncounted one.

    The device is waited for around every layer, so what is hidden elsewhere by overlapping is counted here.
    """
    started: dict[str, float] = {}
    of_layers: dict[str, float] = {}

    def now() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    def begin(name: str) -> Callable[..., None]:
        return lambda *_: started.update({name: now()})

    def finish(name: str) -> Callable[..., None]:
        return lambda *_: of_layers.update({name: of_layers.get(name, 0.0) + now() - started[name]})

    passes = []
    with ExitStack() as hooks:
        for name, module in model.named_modules():
            if next(module.parameters(recurse=False), None) is not None:
                hooks.callback(module.register_forward_pre_hook(begin(name)).remove)
                hooks.callback(module.register_forward_hook(finish(name)).remove)
        for _ in range(PASSES + 1):
            of_layers.clear()
            start = now()
            output_of(model, inputs)
            passes.append((now() - start, dict(of_layers)))
    return passes[1:]


def shares_of(passes: Passes, layers: set[str]) -> tuple[float, ...]:
    """The share of each pass that these layers take, 0 to 1."""
    return tuple(sum(of.get(name, 0.0) for name in layers) / total for total, of in passes)
