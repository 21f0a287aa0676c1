"""Linear layers whose zeros are not stored, where a clock says that it pays."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import msgspec
import torch
from torch import nn
from torch.nn import functional as F

from prunebench.alternation import Samples, Stopwatch, alternate, on_the_clock
from prunebench.latency.budget import Budget
from prunebench.latency.layouts import CSR, Layout
from prunebench.models.input_spec import output_of, to
from prunebench.records import SparseLayer
from prunebench.statistics import paired_speedup

LEAST = 0.5
"""Below this sparsity no layer is tried: at 4096 × 4096 compressed weights pay from about 0.7 on, at best."""

PAIRS = 6
"""Pairs on which a layer is judged, at least: fewer have no interval."""

DENSE = "dense"
"""What a layer as it is is called beside the layouts that it is tried in."""


def choose(
    model: nn.Module,
    batch: Any,
    batch_size: int,
    *,
    seconds: float,
    seed: int,
    layouts: Sequence[Layout] = (CSR,),
    stopwatch: Stopwatch = on_the_clock,
) -> list[SparseLayer]:
    """Time every linear layer that is sparse enough, as it is and in every layout that it fits, in alternation.

    A layer is chosen where the interval of the speed-up of its quickest layout lies above 1. Its input is what it reads
    first in a pass.

    Args:
        model: pruned, its masks folded into its weights, to be used as it is (in evaluation mode, on its device).
        batch: what the model reads.
        batch_size: samples in it.
        seconds: for all layers together; each gets some pairs at least.
        seed: of the order within rounds.
        layouts: that are tried.
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
        unfit = {layout.name: why for layout in layouts if (why := layout.unfit(layer))}
        fitting = [layout for layout in layouts if layout.name not in unfit]
        if not fitting:
            found[name] = _not_timed(name, batch_size, layer, unfit)
            return
        with budget.share(1.0) as share:
            calls: dict[str, Callable[[], object]] = {DENSE: partial(F.linear, given, layer.weight, layer.bias)}
            calls |= {layout.name: partial(layout.stored(layer), given) for layout in fitting}
            timed = alternate(
                calls,
                [(DENSE, layout.name) for layout in fitting],
                seconds=share,
                ci_width=0.03,
                seed=seed,
                at_least=PAIRS,
                stopwatch=stopwatch,
            )
        found[name] = _record(name, batch_size, layer, timed, unfit)

    # compressed weights do not work in inference mode
    with torch.inference_mode(False), torch.no_grad(), ExitStack() as hooks:
        for layer in tried:
            hooks.callback(layer.register_forward_pre_hook(before, with_kwargs=True).remove)
        output_of(model, placed_for(model, batch))
    return list(found.values())


def placed_for(model: nn.Module, batch: Any) -> Any:
    """A batch on the device and in the dtype of a model."""
    first = next(model.parameters())
    return to(batch, device=first.device, dtype=first.dtype)


def compress(model: nn.Module, layers: Sequence[SparseLayer], layouts: Sequence[Layout] = (CSR,)) -> nn.Module:
    """The model with the chosen layers compressed; the other layers share their weights with it."""
    by_name = {layout.name: layout for layout in layouts}
    kept = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    found = copy.deepcopy(model, kept)  # `kept` counts as copied already
    for layer in layers:
        if layer.chosen:
            dense = model.get_submodule(layer.name)
            assert isinstance(dense, nn.Linear)
            parent, _, own = layer.name.rpartition(".")
            found.get_submodule(parent).register_module(own, by_name[layer.layout].stored(dense))
    return found


def _worth_a_try(module: nn.Module) -> bool:
    # a class made from nn.Linear may compute something else
    return type(module) is nn.Linear and _sparsity(module) >= LEAST


def _sparsity(layer: nn.Linear) -> float:
    return 1 - int(torch.count_nonzero(layer.weight)) / layer.weight.numel()


def _record(name: str, batch_size: int, layer: nn.Linear, timed: Samples[str], unfit: Mapping[str, str]) -> SparseLayer:
    """What was timed of a layer, in its quickest layout."""
    dense_ms = timed.samples_ms[DENSE]
    gains = {of: paired_speedup(dense_ms, ms) for of, ms in timed.samples_ms.items() if of != DENSE}
    quickest = max(gains, key=lambda of: gains[of].median)
    return msgspec.structs.replace(
        _not_timed(name, batch_size, layer, unfit),
        dense_ms=dense_ms,
        sparse_ms=timed.samples_ms[quickest],
        chosen=gains[quickest].low > 1,
        layout=quickest,
        others_ms={of: timed.samples_ms[of] for of in gains if of != quickest},
    )


def _not_timed(name: str, batch_size: int, layer: nn.Linear, unfit: Mapping[str, str]) -> SparseLayer:
    """The record of a layer that fits no layout."""
    return SparseLayer(
        name=name,
        batch_size=batch_size,
        shape=tuple(layer.weight.shape),
        sparsity=_sparsity(layer),
        dense_ms=(),
        sparse_ms=(),
        chosen=False,
        unfit=dict(unfit),
    )
