"""Mixing: operations that multiply data with weights; they make channels (rows) and read channels (columns).

Which operand is the weight is decided by where it comes from: from parameters and buffers alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from prunebench.pruning.units.record import Graph, Node, Ref
from prunebench.pruning.units.words import compact, gathered

Kind = Literal["linear", "left", "batched", "left batched", "conv", "grouped conv", "embedding"]
PRODUCTS = {"mm": (0, 1), "addmm": (1, 2), "bmm": (0, 1), "baddbmm": (1, 2), "mv": (0, 1), "addmv": (1, 2)}


@dataclass(frozen=True)
class Mixing:
    """One such operation; `data`, `weight` and `bias` are numbers of tensors.

    Attributes:
        kind: linear: data @ weight; left: weight @ data; batched: a matrix per entry of the batch.
        rows: how many channels it makes.
        columns: how many it reads and sums up; 0 if it sums up none as a whole.
        exact: what one position of the data does, reaches the same position of the output alone.
    """

    node: Node
    kind: Kind
    data: int
    weight: int
    bias: int | None
    rows: int
    columns: int
    shape: tuple[int, ...]
    exact: bool = True
    groups: int = 1
    transposed: bool = False

    def columns_of(self, words: torch.Tensor) -> torch.Tensor:
        """Words of the data as (positions, columns), compact."""
        words = compact(words)
        if self.kind in ("conv", "grouped conv"):
            return words.movedim(1, -1).reshape(-1, words.shape[1])
        if self.kind == "left":
            words = words[None] if words.ndim == 1 else words.transpose(-1, -2)
        if self.kind == "batched":
            words = _full(words, 0, self._batch).transpose(0, 1)
            return words.reshape(words.shape[0], -1) if words.shape[2] > 1 else _wide(words, self.columns)
        if self.kind == "left batched":
            words = _full(words, 0, self._batch).permute(2, 0, 1)
            return words.reshape(words.shape[0], -1) if words.shape[2] > 1 else _wide(words, self.columns)
        return words.reshape(-1, words.shape[-1])

    def weights_of(self, words: torch.Tensor) -> torch.Tensor:
        """Words of the weight as (rows, columns), compact."""
        words = compact(words)
        if self.kind == "embedding":
            return gathered(words, [0]).t()
        if self.kind in ("linear", "left"):
            words = words[0] if words.ndim > 2 else words[:, None] if words.ndim < 2 else words
            return words.t() if self.kind == "linear" else words
        if self.kind in ("batched", "left batched"):
            return self._batched_weights(words)
        words = gathered(words, list(range(2, words.ndim)))[(...,) + (0,) * (words.ndim - 2)]
        return self._transposed_weights(words) if self.transposed else words

    def _batched_weights(self, words: torch.Tensor) -> torch.Tensor:
        per_row = gathered(words, [1 if self.kind == "batched" else 2])
        per_column = gathered(words, [2 if self.kind == "batched" else 1])
        rows = _full(per_row.reshape(per_row.shape[0], -1), 0, self._batch).reshape(-1)
        columns = _full(per_column.reshape(per_column.shape[0], -1), 0, self._batch).reshape(-1)
        return _table(rows, columns, self.rows, self.columns)

    def _transposed_weights(self, words: torch.Tensor) -> torch.Tensor:
        if self.groups == 1:
            return words.t()
        words = _full(words, 0, words.shape[0] if words.shape[0] > 1 else self.groups)
        per_group = gathered(words.reshape(self.groups, -1, words.shape[1]), [1])[:, 0]
        return _full(per_group, 1, self.rows // self.groups).reshape(-1, 1)

    def made(self, rows: torch.Tensor) -> torch.Tensor:
        """Words of the output whose channels hold `rows`, of one word each."""
        rows = rows.expand(self.rows)
        if self.kind in ("conv", "grouped conv"):
            return rows.view(1, -1, *(1 for _ in self.shape[2:])).expand(self.shape)
        if self.kind == "left":
            return rows.view(self.shape if len(self.shape) == 1 else (-1, 1)).expand(self.shape)
        if self.kind == "batched":
            return rows.view(self._batch, 1, -1).expand(self.shape)
        if self.kind == "left batched":
            return rows.view(self._batch, -1, 1).expand(self.shape)
        return rows.expand(self.shape) if self.rows > 1 else rows.view([1] * len(self.shape)).expand(self.shape)

    def passed(self, words: torch.Tensor) -> torch.Tensor:
        """Words of the output where each position holds what the data holds there, in all columns."""
        if self.kind == "left":
            out = gathered(words, [-2] if words.ndim > 1 else None)
            return out.expand(self.shape)
        if self.kind == "left batched":
            return gathered(words, [1]).expand(self.shape)
        if self.kind == "conv":
            return gathered(words, [1]).expand(self.shape)
        return gathered(words, [-1]).expand(self.shape) if len(self.shape) > 1 else gathered(words, [-1])[:, 0]

    def carried(self, words: torch.Tensor) -> torch.Tensor:
        """Words of the output of a grouped convolution: all that its group's input channels hold, anywhere."""
        spatial = list(range(2, words.ndim))
        words = gathered(words, spatial)[(...,) + (0,) * len(spatial)]
        channels = _full(words, 1, words.shape[1] if words.shape[1] > 1 else self.groups)
        groups = gathered(channels.reshape(channels.shape[0], self.groups, -1), [2])
        out = groups.expand(groups.shape[0], self.groups, self.rows // self.groups).reshape(groups.shape[0], -1)
        return out.view(*out.shape, *(1 for _ in spatial)).expand(self.shape)

    @property
    def _batch(self) -> int:
        return self.shape[0]


def _full(words: torch.Tensor, dim: int, size: int) -> torch.Tensor:
    return words if words.shape[dim] == size else words.expand([size if d == dim else -1 for d in range(words.ndim)])


def _wide(words: torch.Tensor, columns: int) -> torch.Tensor:
    """(positions, batch, 1) → (positions, columns)."""
    positions, batch, _ = words.shape
    return words.expand(positions, batch, columns // batch).reshape(positions, -1)


def _table(rows: torch.Tensor, columns: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Words by row and column, of which the one or the other says nothing."""
    rows = rows.repeat_interleave(height // len(rows)) if len(rows) not in (1, height) else rows
    columns = columns.repeat_interleave(width // len(columns)) if len(columns) not in (1, width) else columns
    if bool((columns == columns[:1]).all()):
        return rows[:, None]
    return columns[None] if bool((rows == rows[:1]).all()) else rows[:, None] & columns[None]


@dataclass(frozen=True)
class Static:
    """Tensors that come from leaves alone: all, those that a parameter has part in, those that an operation mixed."""

    all: set[int]
    parameters: set[int]
    mixed: set[int]


def static(graph: Graph, parameters: set[int]) -> Static:
    """Tensors of a graph that come from its leaves alone."""
    found = Static(set(graph.leaves.values()), set(parameters), set())
    free = {t for node in graph.nodes for t in node.outputs if not node.inputs}
    for node in graph.nodes:
        if any(t in found.all for t in node.inputs) and all(t in found.all or t in free for t in node.inputs):
            found.all.update(node.outputs)
            for part in (found.parameters, found.mixed):
                if any(t in part for t in node.inputs):
                    part.update(node.outputs)
            if node.name in PRODUCTS:
                found.mixed.update(node.outputs)
        elif node.inputs and all(t in free for t in node.inputs):
            free.update(node.outputs)
    return found


def mixings(graph: Graph, fixed: Static) -> dict[int, Mixing]:
    """The mixing operations of a graph by the index of their node."""
    found = {}
    for node in graph.nodes:
        mixing = _mixing(graph, node, fixed)
        if mixing is not None:
            found[node.index] = mixing
    return found


def _mixing(graph: Graph, node: Node, fixed: Static) -> Mixing | None:
    args, _ = node.arguments(Ref)
    if node.name in PRODUCTS:
        left, right = (args[i].tensor for i in PRODUCTS[node.name])
        bias = args[0].tensor if node.name.startswith("add") or node.name.startswith("badd") else None
        return _product(graph, node, (left, right), bias, fixed)
    if node.name in ("convolution", "_convolution") and args[1].tensor in fixed.all:
        return _convolution(graph, node, args)
    if node.name == "linear" and args[1].tensor in fixed.all:
        bias = args[2].tensor if len(args) > 2 and args[2] is not None else None
        weight = graph.infos[args[1].tensor].shape
        shape = graph.infos[node.outputs[0]].shape
        if len(weight) == 2:
            return Mixing(node, "left", args[0].tensor, args[1].tensor, bias, weight[0], weight[1], shape)
    if node.name == "embedding" and args[0].tensor in fixed.all:
        shape = graph.infos[node.outputs[0]].shape
        return Mixing(node, "embedding", args[1].tensor, args[0].tensor, None, shape[-1], 0, shape)
    return None


def _product(graph: Graph, node: Node, operands: tuple[int, int], bias: int | None, fixed: Static) -> Mixing | None:
    left, right = operands
    known = {left, right} & fixed.all
    if not known:
        return None
    is_left = right not in known or (len(known) == 2 and left in fixed.parameters and right not in fixed.parameters)
    weight, data = (left, right) if is_left else (right, left)
    shape, form = graph.infos[node.outputs[0]].shape, graph.infos[weight]
    batched = len(form.shape) == 3 and form.shape[0] > 1 and form.stride[:1] != (0,)
    if batched and weight in fixed.mixed:
        return None  # as attention to positions: what an operation has made, on both sides
    batch = form.shape[0] if batched else 1
    if is_left:
        rows, columns = form.shape[-2], form.shape[-1]
    else:
        rows, columns = form.shape[-1] if len(form.shape) > 1 else 1, form.shape[-2 if len(form.shape) > 1 else 0]
    kind: Kind = ("left batched" if batched else "left") if is_left else ("batched" if batched else "linear")
    return Mixing(node, kind, data, weight, bias, batch * rows, batch * columns, shape)


def _convolution(graph: Graph, node: Node, args: tuple[object, ...]) -> Mixing:
    data, weight, bias, stride, padding, _, transposed, _, groups = args[:9]
    assert isinstance(data, Ref)
    assert isinstance(weight, Ref)
    shape = graph.infos[node.outputs[0]].shape
    kernel, channels = graph.infos[weight.tensor].shape[2:], graph.infos[data.tensor].shape[1]
    pointwise = all(k == 1 for k in kernel) and set(stride) == {1} and set(padding) == {0}  # type: ignore[call-overload]
    return Mixing(
        node,
        "conv" if groups == 1 else "grouped conv",
        data.tensor,
        weight.tensor,
        bias.tensor if isinstance(bias, Ref) else None,
        shape[1],
        channels if groups == 1 else 0,
        shape,
        pointwise,
        int(groups),  # type: ignore[call-overload]
        bool(transposed),
    )
