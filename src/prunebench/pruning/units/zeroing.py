"""Computed weights: which columns vanish where slices of a parameter are zero.

A weight that is normalised (weight norm, spectral norm) depends on every entry of its parameters, but a column is zero
exactly if it is zero at the source: that is where it is removed.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from prunebench.pruning.units.mixing import Mixing
from prunebench.pruning.units.record import Graph
from prunebench.pruning.units.words import decode, digits


def zeroed_columns(model: nn.Module, graph: Graph, mixing: Mixing, name: str, dim: int) -> torch.Tensor:
    """For each column the slice of the parameter that makes it zero, or −1; shape (columns,)."""
    leaves = dict([*model.named_parameters(), *model.named_buffers()])
    count = leaves[name].shape[dim]
    words = torch.zeros(mixing.columns, dtype=torch.int64)
    for digit in range(digits(count)):
        for value in (0, 1):
            chosen = torch.arange(count)[torch.arange(count) >> digit & 1 == value]
            if not len(chosen):
                continue
            parameter = leaves[name].detach().clone().index_fill_(dim, chosen, 0)
            weight = _computed(graph, mixing, {**leaves, name: parameter})
            if weight is None:
                return torch.full((mixing.columns,), -1)
            table = mixing.weights_of((weight != 0).long())
            words |= torch.where(table.expand(table.shape[0], mixing.columns).any(0), 0, 1 << (2 * digit + value))
    return decode(words, count)[0]


def _computed(graph: Graph, mixing: Mixing, leaves: dict[str, Any]) -> torch.Tensor | None:
    """The weight of an operation, with these parameters."""
    values: dict[int, Any] = {graph.leaves[name]: tensor.detach() for name, tensor in leaves.items()}
    needed = {mixing.weight}
    for node in reversed(graph.nodes):
        if needed & set(node.outputs):
            needed.update(node.inputs)
    for node in graph.nodes:
        if not needed & set(node.outputs):
            continue
        if any(t not in values for t in node.inputs) or node.written is not None:
            return None
        args, kwargs = node.arguments(values.__getitem__)
        with torch.no_grad():
            out = node.func(*args, **kwargs)
        values.update(zip(node.outputs, out if isinstance(out, (tuple, list)) else [out], strict=True))
    weight: torch.Tensor | None = values.get(mixing.weight)
    return weight
