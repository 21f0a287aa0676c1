"""Makers: where the channels that an operation makes are read, and what stands beside them on the way."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from prunebench.pruning.units.analysis import Analysis
from prunebench.pruning.units.follow import Reached
from prunebench.pruning.units.mixing import Mixing
from prunebench.pruning.units.pace import Pace
from prunebench.pruning.units.resolve import resolve
from prunebench.pruning.units.words import codes, decode

OUT, LOST = "it reaches the output", "its channels become positions"


def follow_makers(at: Analysis, pace: Pace) -> None:
    """Link the rows of each mixing operation with the columns that they reach; bar what reaches the output."""
    together: dict[Any, list[int]] = defaultdict(list)
    for index, mixing in at.mixings.items():
        if at.rows_known[index].any():
            together[tuple(at.rows_by[index]), mixing.rows].append(index)
    for i, members in enumerate(together.values()):
        pace("find units", i, len(together))
        _Channels(at, [at.mixings[i] for i in members]).run()


@dataclass
class _Channels:
    """The channels of an operation, or of several with the same weight."""

    at: Analysis
    members: list[Mixing]

    def run(self) -> None:
        at, index = self.at, self.members[0].node.index
        self.count, self.nodes = self.members[0].rows, at.rows(index)
        ids = torch.where(torch.from_numpy(at.rows_known[index]), torch.arange(self.count), -1)
        self.first = self.sweep(codes(ids, self.count), None)
        if self.first.attended:
            at.roles.attended |= {name for name, _, _ in at.rows_by[index]}
        several = self.link()
        unclear = self.link_beside(self.first, self.count, self.nodes)
        if several:
            labels = self.resolve()
            if unclear and len(np.unique(labels)) > 1:
                parts = int(labels.max()) + 1
                again = self.sweep(codes(torch.from_numpy(labels), parts), self.first.passing)
                heads = torch.from_numpy(np.unique(labels, return_index=True)[1])
                self.link_beside(again, parts, self.nodes[heads])

    def sweep(self, words: torch.Tensor, passing: set[int] | None) -> Reached:
        return self.at.follow({mixing.node.outputs[0]: mixing.made(words) for mixing in self.members}, passing)

    def link(self) -> bool:
        """Link what one channel alone reaches; whether several reach anything."""
        ambiguous = False
        for index, words in [*self.first.columns.items(), *self._computed()]:
            found, several = decode(words, self.count)
            self.at.join(self.nodes, found, self.at.columns(index))
            ambiguous |= bool(several.any())
        for parts, reason in ((self.first.out, OUT), (self.first.lost, LOST)):
            for words in parts:
                found, several = decode(words, self.count)
                self.at.links.bar(self.nodes[found[found >= 0].unique()], reason)
                ambiguous |= bool(several.any())
        return ambiguous

    def _computed(self) -> list[tuple[int, torch.Tensor]]:
        """Columns of weights that are computed from these channels."""
        return [
            (index, table[0].expand(self.at.mixings[index].columns))
            for index, table in self.first.weights.items()
            if self.at.mixings[index].columns and _by_columns(table)
        ]

    def link_beside(self, reached: Reached, count: int, nodes: torch.Tensor) -> bool:
        """Link what stands beside the data, channel by channel; whether some of it is still open."""
        unclear = False
        for tensor, dim, words in reached.carriers:
            own = self.at.slices(tensor, dim)
            if own and self.at.graph.infos[tensor].is_float:
                ids, several = decode(words.expand(self.at.graph.infos[tensor].shape[dim]), count)
                unclear |= bool(several.any())
                for leaf, of_leaf, which in own:
                    there = which >= 0
                    self.at.join(nodes, ids[there], self.at.leaf(leaf, of_leaf)[which[there]])
        return unclear

    def resolve(self) -> np.ndarray:
        """Join what hangs together; a label for each channel, from 0 on."""
        links, indices = self.at.links, list(self.first.columns)
        every = torch.cat([torch.zeros(0, dtype=torch.int64), *(self.at.columns(i) for i in indices)])
        done = resolve(self._columns(indices), self.count)
        of_columns, away = done.columns[:-1], done.columns[-1]
        for label in np.unique(done.ids[done.ids >= 0]).tolist():
            members = torch.from_numpy(np.nonzero(of_columns == label)[0])
            mine = torch.from_numpy(np.nonzero(done.ids == label)[0])
            if len(members):
                links.join(every[members], every[members[0]])
                links.join(self.nodes[mine], every[members[0]])
            if label == away:
                links.bar(self.nodes[mine], OUT)
        own = done.ids.copy()
        own[own < 0] = own.max(initial=-1) + 1 + np.arange((own < 0).sum())
        return np.unique(own, return_inverse=True)[1].reshape(-1).astype(np.int64)

    def _columns(self, indices: list[int]) -> Callable[[torch.Tensor], torch.Tensor]:
        """From a word per channel to one per column of these operations, and one for all that leaves."""

        def columns(words: torch.Tensor) -> torch.Tensor:
            found, nothing = self.sweep(words, self.first.passing), torch.zeros((), dtype=torch.int64)
            parts = [found.columns.get(i, nothing).expand(self.at.mixings[i].columns) for i in indices]
            away = torch.zeros(1, dtype=torch.int64)
            for value in torch.cat([away, *found.out, *found.lost]).unique():
                away = away | value
            return torch.cat([*parts, away])

        return columns


def _by_columns(table: torch.Tensor) -> bool:
    return bool((table == table[:1]).all()) and not bool((table == table[:, :1]).all())
