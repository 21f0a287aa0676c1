"""What a model costs apart from time: parameters, multiply-accumulates, memory, bytes in a file."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import torch
import zstandard
from torch import nn

from prunebench.models.checkpoint import Checkpoint, weights_of, write_tensors
from prunebench.models.input_spec import InputSpec, output_of
from prunebench.models.macs import effective, total, uses
from prunebench.models.masks import Masks
from prunebench.models.memory import peak_bytes
from prunebench.models.taken_over import copied
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
    multiplied = uses(state.model, inputs)
    return Costs(
        params=params(state.model),
        nonzero_params=params(state.model) - masked(state.masks),
        macs=total(multiplied),
        effective_macs=effective(multiplied, state.masks),
        activation_bytes=activation_bytes(state.model, inputs),
        checkpoint_bytes=plain,
        checkpoint_zstd_bytes=compressed,
    )


def macs(model: nn.Module, inputs: InputSpec) -> int:
    """Multiply-accumulates of one sample: those of matrix products and convolutions, attention included."""
    return total(uses(model, inputs))


def activation_bytes(model: nn.Module, inputs: InputSpec) -> int:
    """The most that the intermediate results of one sample, its logits included, take at once in fp32 on the CPU.

    The work space of operators is among them, as far as PyTorch allocates it; it depends on the kind of CPU.
    """
    plain = copied(model).cpu().float().eval()
    example = inputs.example()
    with torch.inference_mode():
        output_of(plain, example)  # what is set up once does not count
        return peak_bytes(lambda: output_of(plain, example), torch.device("cpu"))


def params(model: nn.Module) -> int:
    """Parameters, masked ones included."""
    return sum(parameter.numel() for parameter in model.parameters())


def masked(masks: Masks) -> int:
    """Parameters that masks have removed."""
    return sum(mask.numel() - int(mask.count_nonzero()) for mask in masks.values())


def _file_bytes(state: Checkpoint) -> tuple[int, int]:
    """Bytes of the weights as a safetensors file, and of that file compressed."""
    weights = weights_of(state.model)
    for name, mask in state.masks.items():  # a product with a mask leaves -0 too, whose signs compress badly
        weights[name] = weights[name].masked_fill(~mask.to(weights[name].device), 0)
    with tempfile.TemporaryDirectory() as folder, writing("The weights, to be counted,", Path(folder)):
        path = Path(folder) / "model.safetensors"
        write_tensors(weights, path)
        with path.open("rb") as source, Path(os.devnull).open("wb") as target:
            return zstandard.ZstdCompressor(level=LEVEL, threads=-1).copy_stream(source, target)
