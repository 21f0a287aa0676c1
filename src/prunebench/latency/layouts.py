"""Layouts: how a linear layer's weight is stored without its zeros, and which of them a device has for a pattern.

Only the values that are stored are multiplied.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from prunebench.pruning.granularity import Pattern

VECTORS = sys.platform == "linux" and torch.backends.mkl.is_available()
"""Whether PyTorch multiplies a compressed matrix by a vector on a CPU; by a matrix it does so everywhere."""

SHAPE_2_4 = (32, 64)
"""What outputs and inputs of a layer are multiples of where PyTorch stores it as 2:4: CUTLASS asks for that in 16 bits,
cuSPARSELt for 16 and 16 (`torch.sparse.semi_structured`)."""


@dataclass(frozen=True)
class Layout:
    """A way to store a weight.

    Attributes:
        name: as records and sentences call it.
        stored: linear layer → a module that answers as it, up to rounding.
        unfit: why a layer cannot be stored so; empty where it can.
    """

    name: str
    stored: Callable[[nn.Linear], nn.Module]
    unfit: Callable[[nn.Linear], str] = lambda layer: ""


class SparseLinear(nn.Module):
    """A linear layer with a compressed weight, of single values (CSR) or blocks (BSR); answers as the layer that it is
    made of, up to rounding.

    Indices have 32 bits, and the weight stands on the left: at 4096 × 4096, 90 % sparse, on one thread of an AMD EPYC
    with other work on it, 16 samples take 2.4 ms so, 16 ms by `F.linear` and 12 ms dense; one sample takes 0.65 ms as
    a vector, 1.6 ms as a matrix, 2.2 ms by `F.linear` and 3.3 ms dense.

    Blocks beat single values where many samples pass: at 3072 × 768, 90 % of the blocks zero, on one such thread, the
    medians of paired speed-ups of two measurements are 2.5 and 2.8 as CSR, 2.2 and 2.3 in blocks of 16 × 16 and 2.3 and
    2.4 of 32 × 32 for 128 samples; 1.0 and 1.2, 1.4 and 2.0, 1.4 and 2.2 for 2048.
    """

    def __init__(self, dense: nn.Linear, block: tuple[int, int] | None = None) -> None:
        super().__init__()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sparse (CSR|BSR|invariant)")  # that they are in beta
            weight = dense.weight.detach()
            found = weight.to_sparse_csr() if block is None else weight.to_sparse_bsr(block)
            rows, columns = found.crow_indices().int(), found.col_indices().int()
            self.weight = torch.sparse_compressed_tensor(
                rows, columns, found.values(), found.shape, layout=found.layout
            )
        self.bias = dense.weight.new_zeros(len(dense.weight)) if dense.bias is None else dense.bias.detach()

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        flat = input.reshape(-1, input.shape[-1])
        if len(flat) == 1 and (VECTORS or flat.is_cuda):
            out = torch.addmv(self.bias, self.weight, flat[0])
        else:
            out = torch.addmm(self.bias.unsqueeze(1), self.weight, flat.t()).t().contiguous()
        return out.view(*input.shape[:-1], len(self.bias))


class SemiStructuredLinear(nn.Module):
    """A linear layer whose weight is stored as 2:4, two values of four side by side; answers as the layer that it is
    made of, up to rounding, on a GPU that has kernels for it (Mishra et al. 2021, arXiv 2104.08378).

    These pay for large products alone: on an H200 with PyTorch 2.11, in bf16, `F.linear` of 4096 inputs and 14,336
    outputs is 1.36 times as fast with 16,384 samples, and with 2,048 takes 1.7 times as long.
    """

    def __init__(self, dense: nn.Linear) -> None:
        super().__init__()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The PyTorch API of SparseSemiStructuredTensor")
            self.weight = torch.sparse.to_sparse_semi_structured(dense.weight.detach().contiguous())
        self.bias = None if dense.bias is None else dense.bias.detach()

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return F.linear(input, self.weight, self.bias)


CSR = Layout("CSR", SparseLinear)


def blocks(high: int, wide: int) -> Layout:
    """BSR in blocks of `high` outputs by `wide` inputs."""

    def unfit(layer: nn.Linear) -> str:
        rows, columns = layer.weight.shape
        return f"no multiple of {high} × {wide}" if rows % high or columns % wide else ""

    return Layout(f"BSR {high}x{wide}", lambda layer: SparseLinear(layer, (high, wide)), unfit)


def unfit_for_2_4(layer: nn.Linear) -> str:
    """Why a layer cannot be stored as 2:4; empty where it can."""
    weight = layer.weight
    if any(size % of for size, of in zip(weight.shape, SHAPE_2_4, strict=True)):
        return "no multiple of {} × {}".format(*SHAPE_2_4)
    return "" if int(weight.reshape(-1, 4).count_nonzero(1).max()) <= 2 else "not pruned to 2:4"


SEMI_STRUCTURED = Layout("2:4", SemiStructuredLinear, unfit_for_2_4)


def layouts(
    pattern: Pattern | None, *, backend: str, device: torch.device, dtype: str
) -> tuple[tuple[Layout, ...], str]:
    """Layouts that are worth a try for single weights that were pruned, the pattern's own one last; and why it has none
    here, empty where it has one or there is no pattern."""
    if backend != "eager" or device.type not in ("cpu", "cuda"):
        return (), "" if pattern is None else "layers are stored so in eager PyTorch on a CPU or on CUDA alone"
    general = (CSR,) if dtype == "fp32" else ()
    if pattern is None:
        return general, ""
    if pattern.block is not None:
        layout = blocks(*pattern.block)
        why = unavailable_blocks(pattern.name, dtype, device.type, _runs(layout, pattern.block, device, "fp32"))
    elif pattern.left is not None:
        layout = SEMI_STRUCTURED
        why = unavailable_2_4(dtype, device.type, _runs(layout, (64, 64), device, "bf16"))
    else:
        return (
            general,
            "zeros in masked rows are multiplied as any number; --method structured removes what they stand for",
        )
    return (general, why) if why else ((*general, layout), "")


def unavailable_blocks(name: str, dtype: str, device: str, runs: bool) -> str:
    """Why no layer is stored in blocks; empty where they are. `runs`: whether PyTorch multiplies by such blocks."""
    if not runs:
        return f"PyTorch multiplies by no blocks of {name} on this device ({device})"
    return "" if dtype == "fp32" else f"blocks are multiplied in fp32 alone, not in {dtype}"


def unavailable_2_4(dtype: str, device: str, runs: bool) -> str:
    """Why no layer is stored as 2:4; empty where they are. `runs`: whether the device has kernels for it."""
    if not runs:
        return f"this device ({device}) has no kernels for it"
    return "" if dtype == "bf16" else f"this device has kernels for it in bf16, not in {dtype}: give --dtype bf16"


def _runs(layout: Layout, shape: tuple[int, int], device: torch.device, dtype: str) -> bool:
    """Whether a layer of this shape, stored so, answers at all on a device."""
    kind = {"fp32": torch.float32, "bf16": torch.bfloat16}[dtype]
    layer = nn.Linear(shape[1], shape[0], device=device, dtype=kind)
    try:
        with torch.inference_mode(False), torch.no_grad():
            layer.weight[:, 1::2].zero_()  # which is 2:4, and not all: nothing is multiplied by an empty weight
            for samples in (1, 2):
                layout.stored(layer)(torch.zeros(samples, shape[1], device=device, dtype=kind))
    except torch.OutOfMemoryError:
        raise
    except RuntimeError:  # each kernel says so in its own words
        return False
    return True
