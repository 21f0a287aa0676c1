"""Nodes: positions along a dimension of a parameter, rows and columns of operations; and what links them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


@dataclass
class Links:
    """What hangs together, gathered as pairs of numbered nodes; what must never go, with the reason.

    Keys: ("leaf", name, dim) is a parameter or buffer along a dimension; ("row", graph, node) and
    ("column", graph, node) are what an operation makes and reads.
    """

    bases: dict[tuple[Any, ...], tuple[int, int]] = field(default_factory=dict)
    size: int = 0
    pairs: list[torch.Tensor] = field(default_factory=list)
    barred: list[tuple[torch.Tensor, str]] = field(default_factory=list)

    def nodes(self, key: tuple[Any, ...], count: int) -> torch.Tensor:
        """The numbers of the nodes of a key, which has `count` of them."""
        if key not in self.bases:
            self.bases[key] = (self.size, count)
            self.size += count
        base, known = self.bases[key]
        assert known == count, key
        return torch.arange(base, base + count)

    def join(self, left: torch.Tensor, right: torch.Tensor) -> None:
        """Each node on the left hangs together with the one on the right."""
        self.pairs.append(torch.stack([left, right.expand_as(left)]))

    def bar(self, nodes: torch.Tensor, reason: str) -> None:
        """These never go, nor does what hangs together with them."""
        self.barred.append((nodes.reshape(-1), reason))

    def components(self) -> np.ndarray:
        """The number of its component for every node."""
        return components(torch.cat(self.pairs, 1) if self.pairs else torch.zeros(2, 0, dtype=torch.int64), self.size)


def components(pairs: torch.Tensor, size: int) -> np.ndarray:
    """Connected components of `size` nodes, given pairs of shape (2, n)."""
    left, right = pairs.numpy()
    graph = coo_array((np.ones(len(left), dtype=np.int8), (left, right)), shape=(size, size))
    labels: np.ndarray = connected_components(graph, directed=False)[1]
    return labels
