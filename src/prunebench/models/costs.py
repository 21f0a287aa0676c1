"""What a model costs apart from time: parameters, multiply-accumulates, memory, bytes in a file."""

from __future__ import annotations

import copy
import os
import tempfile
from pathlib import Path
from typing import Any

import torch
import zstandard
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from prunebench.models.checkpoint import Checkpoint, write_tensors
from prunebench.models.input_spec import InputSpec, output_of, to
from prunebench.models.masks import Masks
from prunebench.models.memory import peak_bytes
from prunebench.records import Costs
from prunebench.runs.files import writing

LEVEL = 3
"""Level of compression, zstd's own default."""


def costs(state: Checkpoint, inputs: InputSpec) -> Costs:
    """All costs of a model that reads these inputs; the model stays as it is.

    Raises:
        DiskError: there is no room for its weights among the temporary files.
    """
    plain, compressed = _file_bytes(state)
    return Costs(
        params=params(state.model),
        nonzero_params=params(state.model) - masked(state.masks),
        macs=macs(state.model, inputs),
        activation_bytes=activation_bytes(state.model, inputs),
        checkpoint_bytes=plain,
        checkpoint_zstd_bytes=compressed,
    )


def macs(model: nn.Module, inputs: InputSpec) -> int:
    """Multiply-accumulates of one sample: those of matrix products and convolutions, attention included.

    Counted by PyTorch's FlopCounterMode, which counts a multiply-accumulate as two. Models of transformers are
    counted with eager attention, since fused attention counts as nothing in some versions of PyTorch.
    """
    return int(_counted(model, inputs).get_total_flops()) // 2


def macs_of_modules(model: nn.Module, inputs: InputSpec) -> dict[str, int]:
    """Multiply-accumulates of one sample by module, those of its parts included; of modules that have any."""
    found = _counted(model, inputs).get_flop_counts()
    whole = f"{type(model).__name__}."
    return {name.removeprefix(whole): sum(of.values()) // 2 for name, of in found.items() if name.startswith(whole)}


def _counted(model: nn.Module, inputs: InputSpec) -> FlopCounterMode:
    example = to(inputs.example(), device=next(model.parameters()).device)
    counter = FlopCounterMode(display=False)
    was_training, settings = model.training, getattr(model, "config", None)
    attention = getattr(settings, "_attn_implementation", None)
    _set_attention(model, attention and "eager")
    try:
        with counter, torch.no_grad():
            output_of(model.eval(), example)
    finally:
        _set_attention(model, attention)
        model.train(was_training)
    return counter


def activation_bytes(model: nn.Module, inputs: InputSpec) -> int:
    """The most that the intermediate results of one sample, its logits included, take at once in fp32 on the CPU.

    The work space of operators is among them, as far as PyTorch allocates it; it depends on the kind of CPU.
    """
    plain = copy.deepcopy(model).cpu().float().eval()
    example = inputs.example()
    with torch.inference_mode():
        output_of(plain, example)  # what is set up once does not count
        return peak_bytes(lambda: output_of(plain, example), torch.device("cpu"))


def _set_attention(model: Any, name: str | None) -> None:
    if name is not None:
        model.set_attn_implementation(name)


def params(model: nn.Module) -> int:
    """Parameters, masked ones included."""
    return sum(parameter.numel() for parameter in model.parameters())


def masked(masks: Masks) -> int:
    """Parameters that masks have removed."""
    return sum(mask.numel() - int(mask.sum()) for mask in masks.values())


def _file_bytes(state: Checkpoint) -> tuple[int, int]:
    """Bytes of the weights as a safetensors file, and of that file compressed."""
    weights = state.model.state_dict()
    for name, mask in state.masks.items():  # a product with a mask leaves -0 too, whose signs compress badly
        weights[name] = weights[name].masked_fill(~mask.to(weights[name].device), 0)
    with tempfile.TemporaryDirectory() as folder, writing("The weights, to be counted,", Path(folder)):
        path = Path(folder) / "model.safetensors"
        write_tensors(weights, path)
        with path.open("rb") as source, Path(os.devnull).open("wb") as target:
            return zstandard.ZstdCompressor(level=LEVEL, threads=-1).copy_stream(source, target)
