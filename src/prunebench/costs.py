"""What a model costs: parameters and multiply-accumulates."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from prunebench.inputs import Inputs, logits_of, to
from prunebench.methods import Masks


def macs(model: nn.Module, inputs: Inputs) -> int:
    """Multiply-accumulates of one sample: those of matrix products and convolutions, attention included.

    Counted by PyTorch's FlopCounterMode, which counts a multiply-accumulate as two. Models of transformers are
    counted with eager attention, since fused attention counts as nothing in some versions of PyTorch.
    """
    example = to(inputs.example(), device=next(model.parameters()).device)
    counter = FlopCounterMode(display=False)
    was_training, settings = model.training, getattr(model, "config", None)
    attention = getattr(settings, "_attn_implementation", None)
    _set_attention(model, attention and "eager")
    try:
        with counter, torch.no_grad():
            logits_of(model.eval(), example)
    finally:
        _set_attention(model, attention)
        model.train(was_training)
    return int(counter.get_total_flops()) // 2


def _set_attention(model: Any, name: str | None) -> None:
    if name is not None:
        model.set_attn_implementation(name)


def params(model: nn.Module) -> int:
    """Parameters, masked ones included."""
    return sum(parameter.numel() for parameter in model.parameters())


def masked(masks: Masks) -> int:
    """Parameters that masks have removed."""
    return sum(mask.numel() - int(mask.sum()) for mask in masks.values())
