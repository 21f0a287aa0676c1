"""Linear layers whose zeros are not stored, where a clock says that it pays.

Of a compressed weight (CSR) only the values that are not zero are stored and multiplied.
"""

from __future__ import annotations

import copy
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from prunebench.latency.budget import Budget
from prunebench.latency.protocol import Samples, Stopwatch, alternate, on_the_clock
from prunebench.models.input_spec import output_of, to
from prunebench.records import SparseLayer
from prunebench.statistics import paired_speedup

LEAST = 0.5
"""Below this sparsity no layer is tried: at 4096 × 4096 compressed weights pay from about 0.7 on, at best."""

PAIRS = 6
"""Pairs on which a layer is judged, at least: fewer have no interval."""

VECTORS = sys.platform == "linux" and torch.backends.mkl.is_available()
"""Whether PyTorch multiplies a compressed matrix by a vector on a CPU; by a matrix it does so everywhere."""


class SparseLinear(nn.Module):
    """A linear layer with a compressed weight; answers as the layer that it is made of, up to rounding.

    Indices have 32 bits, and the weight stands on the left: at 4096 × 4096, 90 % sparse, on one thread of an AMD EPYC
    with other work on it, 16 samples take 2.4 ms so, 16 ms by `F.linear` and 12 ms dense; one sample takes 0.65 ms as
    a vector, 1.6 ms as a matrix, 2.2 ms by `F.linear` and 3.3 ms dense.
    """

    def __init__(self, dense: nn.Linear) -> None:
        super().__init__()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sparse (CSR|invariant)")  # that they are in beta
            found = dense.weight.detach().to_sparse_csr()
            rows, columns = found.crow_indices().int(), found.col_indices().int()
            self.weight = torch.sparse_csr_tensor(rows, columns, found.values(), found.shape)
        self.bias = dense.weight.new_zeros(len(dense.weight)) if dense.bias is None else dense.bias.detach()

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        flat = input.reshape(-1, input.shape[-1])
        if len(flat) == 1 and (VECTORS or flat.is_cuda):
            out = torch.addmv(self.bias, self.weight, flat[0])
        else:
            out = torch.addmm(self.bias.unsqueeze(1), self.weight, flat.t()).t().contiguous()
        return out.view(*input.shape[:-1], len(self.bias))


def choose(
    model: nn.Module, batch: Any, batch_size: int, *, seconds: float, seed: int, stopwatch: Stopwatch = on_the_clock
) -> list[SparseLayer]:
    """Time every linear layer that is sparse enough, as it is and compressed, in alternation.

    A layer is chosen where the interval of its speed-up lies above 1. Its input is what it reads first in a pass.

    Args:
        model: pruned, its masks folded into its weights, to be used as it is (in evaluation mode, on its device).
        batch: what the model reads.
        batch_size: samples in it.
        seconds: for all layers together; each gets some pairs at least.
        seed: of the order within rounds.
        stopwatch: times one call.
    """
    tried = {module: name for name, module in model.named_modules() if _worth_a_try(module)}
    budget = Budget(seconds, [1.0] * len(tried))
    found: dict[str, SparseLayer] = {}

    # A layer is timed within the pass, where its input is at hand: all inputs together take many times the memory.
    def before(layer: nn.Linear, args: tuple[torch.Tensor, ...], named: dict[str, torch.Tensor]) -> None:
        name = tried[layer]
        if name in found:
            return
        (given,) = (*args, *named.values())
        with budget.share(1.0) as share:
            calls: dict[str, Callable[[], object]] = {
                "dense": partial(F.linear, given, layer.weight, layer.bias),
                "sparse": partial(SparseLinear(layer), given),
            }
            timed = alternate(
                calls,
                [("dense", "sparse")],
                seconds=share,
                ci_width=0.03,
                seed=seed,
                at_least=PAIRS,
                stopwatch=stopwatch,
            )
        found[name] = _record(name, batch_size, layer, timed)

    # compressed weights do not work in inference mode
    with torch.inference_mode(False), torch.no_grad(), ExitStack() as hooks:
        for layer in tried:
            hooks.callback(layer.register_forward_pre_hook(before, with_kwargs=True).remove)
        output_of(model, to(batch, device=next(model.parameters()).device))
    return list(found.values())


def compress(model: nn.Module, layers: Sequence[SparseLayer]) -> nn.Module:
    """The model with the chosen layers compressed; the other layers share their weights with it."""
    chosen = [layer.name for layer in layers if layer.chosen]
    kept = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    found = copy.deepcopy(model, kept)  # `kept` counts as copied already
    for name in chosen:
        dense = model.get_submodule(name)
        assert isinstance(dense, nn.Linear)
        parent, _, own = name.rpartition(".")
        found.get_submodule(parent).register_module(own, SparseLinear(dense))
    return found


def _worth_a_try(module: nn.Module) -> bool:
    # a class made from nn.Linear may compute something else
    return type(module) is nn.Linear and _sparsity(module) >= LEAST


def _sparsity(layer: nn.Linear) -> float:
    return 1 - int(torch.count_nonzero(layer.weight)) / layer.weight.numel()


def _record(name: str, batch_size: int, layer: nn.Linear, timed: Samples[str]) -> SparseLayer:
    dense_ms, sparse_ms = timed.samples_ms["dense"], timed.samples_ms["sparse"]
    return SparseLayer(
        name=name,
        batch_size=batch_size,
        shape=tuple(layer.weight.shape),
        sparsity=_sparsity(layer),
        dense_ms=dense_ms,
        sparse_ms=sparse_ms,
        chosen=paired_speedup(dense_ms, sparse_ms).low > 1,
    )
