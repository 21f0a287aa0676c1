"""Linear layers whose zeros are not stored, where a clock says that it pays.

Of a compressed weight (CSR) only the values that are not zero are stored and multiplied.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from prunebench.efficiency.protocol import Stopwatch, alternate, on_the_clock
from prunebench.inputs import logits_of, to
from prunebench.records import SparseLayer
from prunebench.statistics import paired_speedup

LEAST = 0.5
"""Below this sparsity no layer is tried: at 4096 × 4096 compressed weights pay from about 0.7 on, at best."""

PAIRS = 10
"""Pairs on which a layer is judged, at least."""


class SparseLinear(nn.Module):
    """A linear layer with a compressed weight; answers as the layer that it is made of, up to rounding.

    The product is weight × inputsᵀ, with indices of 32 bits: of the ways that PyTorch has, the quickest on CPUs (at
    4096 × 9216, 90 % sparse, 16 samples: 4 ms; `F.linear` 17 ms; dense 20 ms on two cores of an AMD EPYC).
    """

    def __init__(self, dense: nn.Linear) -> None:
        super().__init__()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sparse (CSR|invariant)")  # that they are in beta
            found = dense.weight.detach().to_sparse_csr()
            rows, columns = found.crow_indices().int(), found.col_indices().int()
            self.weight = torch.sparse_csr_tensor(rows, columns, found.values(), found.shape)
        self.bias = None if dense.bias is None else dense.bias.detach()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        flat = inputs.reshape(-1, inputs.shape[-1])
        out: torch.Tensor = (self.weight @ flat.t()).t()
        out = out if self.bias is None else out + self.bias
        return out.reshape(*inputs.shape[:-1], -1)


def choose(
    model: nn.Module, batch: Any, batch_size: int, *, seconds: float, seed: int, stopwatch: Stopwatch = on_the_clock
) -> list[SparseLayer]:
    """Time every linear layer that is sparse enough, as it is and compressed, in alternation.

    A layer is chosen where the interval of its speed-up lies above 1.

    Args:
        model: pruned, its masks folded into its weights.
        batch: what the model reads, on its device.
        batch_size: samples in it.
        seconds: for all layers together; each gets some pairs at least.
        seed: of the order within rounds.
        stopwatch: times one call.
    """
    found = []
    with torch.inference_mode(False), torch.no_grad():  # compressed weights do not work in inference mode
        inputs = _inputs_of_layers(model, batch)
        for name, given in inputs.items():
            dense = model.get_submodule(name)
            assert isinstance(dense, nn.Linear)
            calls: dict[str, Callable[[], object]] = {
                "dense": partial(F.linear, given, dense.weight, dense.bias),
                "sparse": partial(SparseLinear(dense), given),
            }
            timed = alternate(
                calls,
                [("dense", "sparse")],
                seconds=seconds / len(inputs),
                ci_width=0.03,
                seed=seed,
                at_least=PAIRS,
                stopwatch=stopwatch,
            )
            gain = paired_speedup(timed.samples_ms["dense"], timed.samples_ms["sparse"])
            found.append(
                SparseLayer(
                    name=name,
                    batch_size=batch_size,
                    shape=tuple(dense.weight.shape),
                    sparsity=_sparsity(dense),
                    dense_ms=timed.samples_ms["dense"],
                    sparse_ms=timed.samples_ms["sparse"],
                    chosen=gain.low > 1,
                )
            )
    return found


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


def _sparsity(layer: nn.Linear) -> float:
    return 1 - int(torch.count_nonzero(layer.weight)) / layer.weight.numel()


def _inputs_of_layers(model: nn.Module, batch: Any) -> dict[str, torch.Tensor]:
    """Sparse enough linear layers, and what each reads first in a pass."""
    given: dict[str, torch.Tensor] = {}
    hooks = []
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and _sparsity(module) >= LEAST:

            def note(_: nn.Module, args: tuple[torch.Tensor, ...], name: str = name) -> None:
                given.setdefault(name, args[0].clone())

            hooks.append(module.register_forward_pre_hook(note))
    try:
        logits_of(model, to(batch, device=next(model.parameters()).device))
    finally:
        for hook in hooks:
            hook.remove()
    return given
