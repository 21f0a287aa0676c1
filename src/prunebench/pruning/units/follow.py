"""Following words through a graph, from where they start to where they are read."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

import torch

from prunebench.pruning.units.mixing import Mixing
from prunebench.pruning.units.operations import Visit, passed
from prunebench.pruning.units.record import Graph
from prunebench.pruning.units.words import compact, gathered

READ_BY_PYTHON = ("_local_scalar_dense", "is_nonzero", "equal", "nonzero", "masked_select", "unique")


@dataclass
class Reached:
    """Where the words of a sweep got to.

    Attributes:
        columns: mixing node → the word of each of its columns (columns,).
        weights: mixing node → words of its weight, (rows or 1, columns or 1).
        biases: mixing node → the word of each of its rows, by its bias (rows,).
        carriers: what stands beside the data channel by channel: (tensor, dimension, words).
        out: words of what leaves the graph: the model's output, or what Python reads.
        lost: words that positions of a convolution hold, not its channels.
        passing: mixing nodes whose positions, not columns, hold the words.
        attended: whether words went through a product of data with data.
        words: of every tensor that they got to.
    """

    columns: dict[int, torch.Tensor] = field(default_factory=dict)
    weights: dict[int, torch.Tensor] = field(default_factory=dict)
    biases: dict[int, torch.Tensor] = field(default_factory=dict)
    carriers: list[tuple[int, int, torch.Tensor]] = field(default_factory=list)
    out: list[torch.Tensor] = field(default_factory=list)
    lost: list[torch.Tensor] = field(default_factory=list)
    passing: set[int] = field(default_factory=set)
    attended: bool = False
    words: dict[int, torch.Tensor] = field(default_factory=dict)


def follow(
    graph: Graph,
    mixings: dict[int, Mixing],
    starts: dict[int, torch.Tensor],
    *,
    within: set[int] | None = None,
    through_weights: bool = True,
    through_norms: bool = False,
    passing: set[int] | None = None,
) -> Reached:
    """Follow words until mixing operations read them.

    Args:
        starts: words of tensors by number.
        within: tensors that are followed; all if None.
        through_weights: whether words of a weight's row go on in its output.
        passing: mixing nodes whose positions hold the words, as an earlier sweep of all ids found; a sweep of few
            cannot tell. None: find out.
    """
    sweep = _Sweep(graph, mixings, within, passing, through_weights, through_norms)
    for tensor, words in starts.items():
        sweep.taint(tensor, words, -1)
    outputs = set(graph.outputs)
    while sweep.queue:
        index = heapq.heappop(sweep.queue)
        sweep.queued.discard(index)
        sweep.visit(index)
    sweep.reached.out += [compact(sweep.words[t]).reshape(-1) for t in outputs if t in sweep.words]
    sweep.reached.words = sweep.words
    return sweep.reached


@dataclass
class _Sweep:
    graph: Graph
    mixings: dict[int, Mixing]
    within: set[int] | None
    passing: set[int] | None
    through_weights: bool
    through_norms: bool
    words: dict[int, torch.Tensor] = field(default_factory=dict)
    based: set[int] = field(default_factory=set)
    queue: list[int] = field(default_factory=list)
    queued: set[int] = field(default_factory=set)
    reached: Reached = field(default_factory=Reached)

    def taint(self, tensor: int, words: torch.Tensor, after: int) -> None:
        if self.within is not None and tensor not in self.within:
            return
        self.words[tensor] = words
        for user in self.graph.users[tensor]:
            if user > after and user not in self.queued:
                self.queued.add(user)
                heapq.heappush(self.queue, user)

    def visit(self, index: int) -> None:
        node = self.graph.nodes[index]
        if index in self.mixings:
            out = self.mix(self.mixings[index])
            if out is not None:
                self.taint(node.outputs[0], out, index)
            return
        words = {t: self.words[t] for t in node.inputs if t in self.words}
        if node.name in READ_BY_PYTHON:
            self.reached.out += [compact(w).reshape(-1) for w in words.values()]
        self.reached.attended |= node.name in ("bmm", "baddbmm")
        at = Visit(self.graph, node, words, self.through_norms)
        found = passed(at)
        self.reached.carriers += at.carriers
        target = node.written
        if target is not None:
            self.write(target, found[0] if found else None, index)
            found = found[1:] if node.outputs[:1] == (target,) else found
            outputs = node.outputs[1:] if node.outputs[:1] == (target,) else node.outputs
        else:
            outputs = node.outputs
        for tensor, result in zip(outputs, found, strict=True):
            if result is not None:
                self.taint(tensor, result, index)

    def write(self, target: int, words: torch.Tensor | None, index: int) -> None:
        """A tensor changes in place, and with it all that share its memory."""
        infos = self.graph.infos
        storage = infos[target].storage
        others = [
            t
            for t in self.graph.aliases[storage]
            if t != target and infos[t].born <= index and any(user > index for user in self.graph.users[t])
        ]
        others += [t for t in self.graph.aliases[storage] if t != target and t in self.graph.outputs]
        if not others and storage not in self.based:
            if words is None:
                self.words.pop(target, None)
            else:
                self.taint(target, words, index)
            return
        if storage not in self.based:
            self._share(storage, index)
        self.words[target].copy_(torch.zeros(()) if words is None else words)
        for tensor in self.graph.aliases[storage]:
            if infos[tensor].born <= index:
                self.taint(tensor, self.words[tensor], index)

    def _share(self, storage: int, index: int) -> None:
        """Words of all tensors in one memory become views of one."""
        infos = self.graph.infos
        members = [t for t in self.graph.aliases[storage] if infos[t].born <= index]
        size = 1 + max(
            infos[t].offset + sum((n - 1) * s for n, s in zip(infos[t].shape, infos[t].stride, strict=True))
            for t in members
        )
        base = torch.zeros(size, dtype=torch.int64)
        for t in members:
            view = base.as_strided(infos[t].shape, infos[t].stride, infos[t].offset)
            if t in self.words:
                view.copy_(view | self.words[t])
            self.words[t] = view
        self.based.add(storage)

    def mix(self, mixing: Mixing) -> torch.Tensor | None:
        index, parts = mixing.node.index, []
        if mixing.bias is not None and (words := self.words.get(mixing.bias)) is not None:
            rows = compact(gathered(words, list(range(words.ndim - 1)))).reshape(-1).expand(mixing.rows)
            self.reached.biases[index] = rows
            if self.through_weights:
                parts.append(mixing.made(rows))
        if (words := self.words.get(mixing.weight)) is not None:
            table = mixing.weights_of(words)
            self.reached.weights[index] = table
            if self.through_weights and not _by_column(table, mixing):
                parts.append(mixing.made(gathered(table, [1])[:, 0]))
        if (words := self.words.get(mixing.data)) is not None and (out := self.read(mixing, words)) is not None:
            parts.append(out)
        if not parts:
            return None
        total = parts[0]
        for part in parts[1:]:
            total = compact(total) | compact(part)
        return total.expand(mixing.shape)

    def read(self, mixing: Mixing, words: torch.Tensor) -> torch.Tensor | None:
        """Words of data: read by columns, or passing by positions."""
        if mixing.kind == "grouped conv":
            return mixing.carried(words)
        if mixing.kind == "embedding":
            self.reached.lost.append(compact(words).reshape(-1))
            return None
        table, index = mixing.columns_of(words), mixing.node.index
        if index in self.passing if self.passing is not None else _by_position(table):
            self.reached.passing.add(index)
            if mixing.exact and not mixing.kind.endswith("batched"):
                return mixing.passed(words)
            self.reached.lost.append(table.reshape(-1))
            return None
        columns = gathered(table, [0])[0].expand(mixing.columns)
        self.reached.columns[index] = columns
        return None


def _same(table: torch.Tensor, dim: int) -> bool:
    """Whether words do not change along a dimension."""
    return bool((table == table.narrow(dim, 0, 1)).all())


def _by_position(table: torch.Tensor) -> bool:
    """Whether words tell positions apart, and not columns. Positions that hold none may hold anything."""
    first = table[:, 0]
    return _same(table, 1) and len(first[first != 0].unique()) > 1


def _by_column(table: torch.Tensor, mixing: Mixing) -> bool:
    """Whether a weight's words tell its columns apart, and not its rows."""
    return mixing.columns > 0 and not _same(table, 1) and _same(table, 0)
