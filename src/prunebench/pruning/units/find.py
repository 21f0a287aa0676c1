"""Finding units: from a model and example inputs to groups of what can only be removed together.

1. Which row and which column of an operation a position of a parameter is (`_weights`).
2. What the channels of each operation reach (`_makers`), and what stands beside them.
3. Parameters that are used otherwise: class tokens, tables of positions (`_others`).
What comes from the model's input itself, and what leaves the model, is never removed.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from prunebench.pruning.units import recurrent
from prunebench.pruning.units.follow import Reached, follow
from prunebench.pruning.units.groups import Units, form
from prunebench.pruning.units.mixing import Mixing, mixings, static
from prunebench.pruning.units.modes import recordings
from prunebench.pruning.units.nodes import Links
from prunebench.pruning.units.operations import RULES, batch_norm, group_norm, layer_norm, pointwise, rule_of
from prunebench.pruning.units.record import Graph
from prunebench.pruning.units.resolve import resolve
from prunebench.pruning.units.words import FEW, along, codes, decode
from prunebench.pruning.units.zeroing import zeroed_columns

Sweep = Callable[..., Reached]
NORMS = {name for name, rule in RULES.items() if rule in (batch_norm, layer_norm, group_norm)}


def find(model: nn.Module, inputs: Any, *, through_norms: bool = False) -> Units:
    """Find the units of a model; it is left as it was.

    Args:
        inputs: a tensor, a tuple of arguments or a dict of keyword arguments, on which the model runs; one sample does.
        through_norms: let a norm over channels pass each channel alone, which is not exact.
    """
    started = time.perf_counter()
    links, search = Links(), _Search()
    graphs, passes = recordings(model, inputs)
    for number, graph in enumerate(graphs):
        _Analysis(model, graph, number, links, search, through_norms).run()
    recurrent.tie(model, links)
    scripted = _scripted(model)
    for key, (base, count) in links.bases.items():
        if key[0] == "leaf" and key[1] in scripted:
            links.bar(torch.arange(base, base + count), "it is scripted")
    order = [name for name, _ in [*model.named_parameters(), *model.named_buffers()]]
    groups, spared = form(links, search.makers, search.readers, search.attended, order)
    return Units(groups, spared, passes, time.perf_counter() - started)


def _scripted(model: nn.Module) -> set[str]:
    """Parameters of parts that TorchScript holds: their sizes cannot change."""
    return {
        f"{path}.{key}" if path else key
        for path, module in model.named_modules()
        if isinstance(module, torch.jit.ScriptModule)
        for key, _ in [*module.named_parameters(), *module.named_buffers()]
    }


@dataclass
class _Search:
    """What all analyses of one model add to."""

    makers: set[tuple[str, int]] = field(default_factory=set)
    readers: set[tuple[str, int]] = field(default_factory=set)
    attended: set[str] = field(default_factory=set)


@dataclass
class _Analysis:
    model: nn.Module
    graph: Graph
    number: int
    links: Links
    search: _Search
    through_norms: bool

    def run(self) -> None:
        graph = self.graph
        parameters = {graph.leaves[name] for name, _ in self.model.named_parameters()}
        fixed = static(graph, parameters)
        self.fixed, self.mixings = fixed.all, mixings(graph, fixed)
        self.names = {tensor: name for name, tensor in graph.leaves.items()}
        self.rows_known = {i: np.zeros(m.rows, dtype=bool) for i, m in self.mixings.items()}
        self.columns_known = {i: np.zeros(m.columns, dtype=bool) for i, m in self.mixings.items()}
        self.rows_by: dict[int, list[tuple[str, int, bytes]]] = defaultdict(list)
        self._weights()
        self._unknown()
        self._makers()
        self._others()

    def rows(self, mixing: Mixing) -> torch.Tensor:
        return self.links.nodes(("row", self.number, mixing.node.index), mixing.rows)

    def columns(self, index: int) -> torch.Tensor:
        return self.links.nodes(("column", self.number, index), self.mixings[index].columns)

    def leaf(self, tensor: int, dim: int) -> torch.Tensor:
        name = self.names[tensor]
        return self.links.nodes(("leaf", name, dim), self.graph.infos[tensor].shape[dim])

    def dims(self, tensor: int) -> list[int]:
        """Dimensions of a leaf that are followed."""
        info = self.graph.infos[tensor]
        return [d for d, size in enumerate(info.shape) if 1 < size <= FEW] if info.is_float else []

    # 1. weights

    def _weights(self) -> None:
        unclear: list[tuple[int, int, int]] = []
        for tensor in self.names:
            if not self.graph.users[tensor]:
                continue
            for dim in self.dims(tensor):
                shape = self.graph.infos[tensor].shape
                count = shape[dim]
                starts = {tensor: along(dim, torch.arange(count), count, shape)}
                reached = follow(self.graph, self.mixings, starts, within=self.fixed, through_weights=False)
                nodes = self.leaf(tensor, dim)
                for index, table in reached.weights.items():
                    if not self._place(tensor, dim, nodes, index, table, count):
                        unclear.append((tensor, dim, index))
                for index, rows in reached.biases.items():
                    ids, _ = decode(rows, count)
                    self._join_known(nodes, ids, self.rows(self.mixings[index]))
                for index, columns in reached.columns.items():
                    ids, _ = decode(columns, count)
                    self._join_known(nodes, ids, self.columns(index))
        for tensor, dim, index in unclear:
            if self.columns_known[index].all():
                continue
            ids = zeroed_columns(self.model, self.graph, self.mixings[index], self.names[tensor], dim)
            if (ids >= 0).any():
                self._read(tensor, dim, self.leaf(tensor, dim), index, ids)

    def _place(
        self, tensor: int, dim: int, nodes: torch.Tensor, index: int, table: torch.Tensor, count: int
    ) -> bool:
        """Whether a weight's words say which rows, or which columns, a dimension of a leaf is."""
        ids, several = decode(table, count)
        mixing, name = self.mixings[index], self.names[tensor]
        by_rows, by_columns = bool((table == table[:, :1]).all()), bool((table == table[:1]).all())
        if by_columns and not by_rows and mixing.columns:
            self._read(tensor, dim, nodes, index, ids[0].expand(mixing.columns))
            return True
        if by_rows and not bool(several.all()):
            of_rows = ids[:, 0].expand(mixing.rows)
            self._join_known(nodes, of_rows, self.rows(mixing))
            self.rows_known[index] |= (of_rows >= 0).numpy()
            self.rows_by[index].append((name, dim, of_rows.numpy().tobytes()))
            self.search.makers.add((name, dim))
            return True
        return False

    def _read(self, tensor: int, dim: int, nodes: torch.Tensor, index: int, ids: torch.Tensor) -> None:
        self._join_known(nodes, ids, self.columns(index))
        self.columns_known[index] |= (ids >= 0).numpy()
        self.search.readers.add((self.names[tensor], dim))

    def _join_known(self, nodes: torch.Tensor, ids: torch.Tensor, others: torch.Tensor) -> None:
        known = ids >= 0
        self.links.join(nodes[ids[known]], others[known])

    def _unknown(self) -> None:
        """What no parameter can take away is never removed: the input, and rows and columns that no weight tells."""
        graph = self.graph
        starts = {}
        for tensor in graph.inputs:
            if graph.infos[tensor].is_float:
                starts[tensor] = torch.ones((), dtype=torch.int64).expand(graph.infos[tensor].shape)
        for index, mixing in self.mixings.items():
            if mixing.columns and not self.columns_known[index].all():
                self.links.bar(self.columns(index)[~self.columns_known[index]], "its weights cannot be followed")
            if not self.rows_known[index].all():
                rows = torch.from_numpy(~self.rows_known[index]).long()
                starts[mixing.node.outputs[0]] = mixing.made(rows)
        reached = follow(graph, self.mixings, starts, through_norms=self.through_norms, passing=set())
        for index, columns in reached.columns.items():
            self.links.bar(self.columns(index)[columns != 0], "the model's input is added to its channels")

    # 2. what the channels of an operation reach

    def _makers(self) -> None:
        together: dict[Any, list[Mixing]] = defaultdict(list)
        for index, mixing in self.mixings.items():
            if self.rows_known[index].any():
                together[tuple(self.rows_by[index]), mixing.rows].append(mixing)
        for members in together.values():
            count = members[0].rows

            def sweep(
                words: torch.Tensor, passing: set[int] | None = None, members: list[Mixing] = members
            ) -> Reached:
                starts = {mixing.node.outputs[0]: mixing.made(words) for mixing in members}
                return follow(self.graph, self.mixings, starts, through_norms=self.through_norms, passing=passing)

            known = self.rows_known[members[0].node.index]
            ids = torch.where(torch.from_numpy(known), torch.arange(count), -1)
            self._reach(sweep, ids, count, self.rows(members[0]))
        data = [node for node in self.graph.nodes if node.name in ("bmm", "baddbmm") and node.index not in self.mixings]
        if data:
            self.search.attended |= {name for name, _ in self.search.makers}

    def _reach(
        self, sweep: Sweep, ids: torch.Tensor, count: int, nodes: torch.Tensor
    ) -> None:
        reached = sweep(codes(ids, count))
        ambiguous = False
        for index, words in [*reached.columns.items(), *_column_weights(reached, self.mixings).items()]:
            found, several = decode(words, count)
            self._join_known(nodes, found, self.columns(index))
            ambiguous |= bool(several.any())
        for words, reason in [(w, "it reaches the output") for w in reached.out] + [
            (w, "its channels become positions") for w in reached.lost
        ]:
            found, several = decode(words, count)
            self.links.bar(nodes[found[found >= 0].unique()], reason)
            ambiguous |= bool(several.any())
        beside = self._beside(reached, count, nodes)
        if ambiguous:
            resolved = self._resolve(sweep, reached, count, nodes)
            if beside and len(np.unique(resolved)) > 1:
                parts = int(resolved.max()) + 1
                again = sweep(codes(torch.from_numpy(resolved), parts), reached.passing)
                first = torch.from_numpy(np.unique(resolved, return_index=True)[1])
                self._beside(again, parts, nodes[first])

    def _beside(self, reached: Reached, count: int, nodes: torch.Tensor) -> bool:
        """Link what stands beside the data; whether some of it is still open."""
        unclear = False
        for tensor, dim, words in reached.carriers:
            if tensor not in self.names or not self.graph.infos[tensor].is_float:
                continue
            ids, several = decode(words, count)
            self._join_known(nodes, ids, self.leaf(tensor, dim))
            unclear |= bool(several.any())
        return unclear

    def _resolve(
        self, sweep: Sweep, reached: Reached, count: int, nodes: torch.Tensor
    ) -> np.ndarray:
        """Join what hangs together; a label for each id, from 0 on, in order of their first."""
        indices = list(reached.columns)
        size = sum(self.mixings[i].columns for i in indices)

        def columns(words: torch.Tensor) -> torch.Tensor:
            found = sweep(words, reached.passing)
            parts = [
                found.columns.get(i, torch.zeros((), dtype=torch.int64)).expand(self.mixings[i].columns)
                for i in indices
            ]
            away = torch.zeros(1, dtype=torch.int64)
            for word in [*found.out, *found.lost]:
                for value in word.unique():
                    away |= value
            return torch.cat([*parts, away])

        done = resolve(columns, count)
        every = torch.cat([*(self.columns(i) for i in indices), torch.tensor([-1])])
        kept = np.nonzero(done.columns >= 0)[0]
        labels, first = np.unique(done.columns[kept], return_index=True)
        head = dict(zip(labels.tolist(), kept[first].tolist(), strict=True))
        away = done.columns[size]
        for label, column in head.items():
            members = torch.from_numpy(np.nonzero(done.columns[:size] == label)[0])
            if len(members):
                self.links.join(every[members], every[members[0]])
            mine = torch.from_numpy(np.nonzero(done.ids == label)[0])
            if len(mine) and len(members):
                self.links.join(nodes[mine], every[members[0]])
            if label == away and len(mine):
                self.links.bar(nodes[mine], "it reaches the output")
            assert column >= 0
        own = done.ids.copy()
        own[own < 0] = own.max() + 1 + np.arange((own < 0).sum())
        return np.unique(own, return_inverse=True)[1].reshape(-1).astype(np.int64)

    # 3. parameters that are used otherwise

    def _others(self) -> None:
        labels: np.ndarray | None = None
        for tensor in self.names:
            if not self.graph.infos[tensor].is_float or self._is_covered(tensor, tensor):
                continue
            for dim in self.dims(tensor):
                labels = self.links.components() if labels is None or len(labels) < self.links.size else labels
                self._other(tensor, dim, labels)

    def _is_covered(self, tensor: int, leaf: int) -> bool:
        """Whether each use of a leaf is as a weight, a bias, or beside data."""
        if tensor in self.graph.outputs:
            return False
        for index in self.graph.users[tensor]:
            node = self.graph.nodes[index]
            if index in self.mixings:
                continue
            if set(node.outputs) <= self.fixed:
                if not all(self._is_covered(t, leaf) for t in node.outputs if t != tensor):
                    return False
            elif tensor != leaf or not (node.name in NORMS or rule_of(node) is pointwise):
                return False
        return True

    def _other(self, tensor: int, dim: int, labels: np.ndarray) -> None:
        shape = self.graph.infos[tensor].shape
        count, nodes = shape[dim], self.leaf(tensor, dim)

        def sweep(words: torch.Tensor) -> Reached:
            view = words.view([-1 if d == dim else 1 for d in range(len(shape))]).expand(shape)
            return follow(self.graph, self.mixings, {tensor: view}, through_norms=self.through_norms)

        reached = sweep(codes(torch.arange(count), count))
        found = {}
        for index, words in reached.columns.items():
            ids, several = decode(words, count)
            if bool(several.any()):
                return  # no slice of its own reaches any columns alone
            if not _whole(ids.numpy(), labels[self.columns(index).numpy()]):
                return  # it lies across the units
            found[index] = ids
        for index, ids in found.items():
            self._join_known(nodes, ids, self.columns(index))
        for words in reached.out:
            ids, several = decode(words, count)
            self.links.bar(nodes[ids[ids >= 0].unique()] if not bool(several.any()) else nodes, "it reaches the output")


def _column_weights(reached: Reached, known: dict[int, Mixing]) -> dict[int, torch.Tensor]:
    """Columns of weights that are computed from what other operations make."""
    return {
        index: table[0].expand(known[index].columns)
        for index, table in reached.weights.items()
        if known[index].columns and not (table == table[:, :1]).all() and (table == table[:1]).all()
    }


def _whole(ids: np.ndarray, labels: np.ndarray) -> bool:
    """Whether the columns of each label are all reached by one id, or none is."""
    for label in np.unique(labels[ids >= 0]):
        if len(np.unique(ids[labels == label])) > 1:
            return False
    return True
