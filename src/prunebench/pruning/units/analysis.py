"""Analysis: one recorded pass, and what is known of the channels of its operations so far."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from prunebench.pruning.units.follow import Reached, follow
from prunebench.pruning.units.mixing import Mixing, mixings, static
from prunebench.pruning.units.nodes import Links
from prunebench.pruning.units.record import Graph
from prunebench.pruning.units.words import FEW


@dataclass
class Roles:
    """What parameters do, in all passes: pairs of a name and a dimension, or names.

    Attributes:
        makers: a slice makes a channel.
        readers: a slice reads a channel.
        attended: what is made goes through a product of data with data.
        grouped: weights of convolutions in groups.
        linear: weights of operations that are no convolutions.
    """

    makers: set[tuple[str, int]] = field(default_factory=set)
    readers: set[tuple[str, int]] = field(default_factory=set)
    attended: set[str] = field(default_factory=set)
    grouped: set[str] = field(default_factory=set)
    linear: set[str] = field(default_factory=set)


@dataclass
class Analysis:
    """A graph with its mixing operations.

    Attributes:
        number: tells the nodes of this graph from those of another pass.
        fixed: tensors that come from parameters and buffers alone.
        rows_known, columns_known: mixing node → which of its rows and columns a parameter's slices are.
        rows_by: mixing node → the slices that are its rows; operations of equal ones are followed at once.
        views: (tensor that comes from leaves alone, dimension) → leaves with a dimension whose slices stand along it,
            and which one does at each index (−1: none).
    """

    graph: Graph
    number: int
    links: Links
    roles: Roles
    through_norms: bool
    fixed: set[int]
    mixings: dict[int, Mixing]
    names: dict[int, str]
    rows_known: dict[int, np.ndarray]
    columns_known: dict[int, np.ndarray]
    rows_by: dict[int, list[tuple[str, int, bytes]]]
    views: dict[tuple[int, int], list[tuple[int, int, torch.Tensor]]]

    def rows(self, index: int) -> torch.Tensor:
        """Nodes of what a mixing operation makes."""
        return self.links.nodes(("row", self.number, index), self.mixings[index].rows)

    def columns(self, index: int) -> torch.Tensor:
        """Nodes of what a mixing operation reads."""
        return self.links.nodes(("column", self.number, index), self.mixings[index].columns)

    def leaf(self, tensor: int, dim: int) -> torch.Tensor:
        """Nodes of a parameter or buffer along a dimension."""
        return self.links.nodes(("leaf", self.names[tensor], dim), self.graph.infos[tensor].shape[dim])

    def slices(self, tensor: int, dim: int) -> list[tuple[int, int, torch.Tensor]]:
        """The leaves whose slices stand along a dimension of a tensor, as `views` has them; its own of a leaf."""
        if tensor in self.names:
            return [(tensor, dim, torch.arange(self.graph.infos[tensor].shape[dim]))]
        return self.views.get((tensor, dim), [])

    def dims(self, tensor: int) -> list[int]:
        """Dimensions of a leaf that are followed."""
        info = self.graph.infos[tensor]
        return [d for d, size in enumerate(info.shape) if 1 < size <= FEW] if info.is_float else []

    def join(self, nodes: torch.Tensor, ids: torch.Tensor, others: torch.Tensor) -> None:
        """Node `ids[i]` hangs together with the i-th of the others, where there is an id."""
        known = ids >= 0
        self.links.join(nodes[ids[known]], others[known])

    def follow(self, starts: dict[int, torch.Tensor], passing: set[int] | None = None) -> Reached:
        """Where words get to, from anywhere."""
        return follow(self.graph, self.mixings, starts, through_norms=self.through_norms, passing=passing)


def analysis(
    model: nn.Module, graph: Graph, *, number: int, links: Links, roles: Roles, through_norms: bool
) -> Analysis:
    """The analysis of a graph, before anything has been followed."""
    fixed = static(graph, {graph.leaves[name] for name, _ in model.named_parameters()})
    mixed = mixings(graph, fixed)
    graph.fixed = fixed.all
    return Analysis(
        graph,
        number,
        links,
        roles,
        through_norms,
        fixed.all,
        mixed,
        {tensor: name for name, tensor in graph.leaves.items()},
        {i: np.zeros(m.rows, dtype=bool) for i, m in mixed.items()},
        {i: np.zeros(m.columns, dtype=bool) for i, m in mixed.items()},
        defaultdict(list),
        defaultdict(list),
    )
