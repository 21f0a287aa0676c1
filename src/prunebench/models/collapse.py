"""Layers that no longer tell samples apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from prunebench.models.input_spec import output_of
from prunebench.models.layers import ZERO

TOLERANCE = 1e-6
"""Largest difference between samples that rounding may cause, relative to the largest output."""


def collapsed(model: nn.Module, inputs: Any) -> dict[str, str]:
    """Names of conv and linear layers that collapsed → how: "all weights are zero" or "outputs are constant".

    Outputs are constant if they are the same, up to rounding, for all samples of the batch `inputs`. Behind such a
    layer others are constant too; each is named.
    """
    found: dict[str, str] = {}
    handles = []
    for name, module in model.named_modules():
        if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)):
            if not module._forward_pre_hooks and not module.weight.any():
                found[name] = ZERO
            else:
                handles.append(module.register_forward_hook(_watch(name, found)))
    training = model.training
    try:
        with torch.inference_mode():
            output_of(model.eval(), inputs)
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
    return found


def _watch(name: str, found: dict[str, str]) -> Callable[[nn.Module, Any, Any], None]:
    def hook(module: nn.Module, args: Any, output: torch.Tensor) -> None:
        values = output.float()
        if len(values) > 1 and (values - values[:1]).abs().max() <= TOLERANCE * values.abs().max():
            found[name] = "outputs are constant"

    return hook
