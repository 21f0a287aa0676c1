"""Other parameters: those that are neither weights nor stand beside data, as class tokens and tables of positions."""

from __future__ import annotations

import numpy as np
import torch

from prunebench.pruning.units.analysis import Analysis
from prunebench.pruning.units.operations import RULES, batch_norm, group_norm, layer_norm, pointwise, rule_of
from prunebench.pruning.units.words import along, decode

NORMS = {name for name, rule in RULES.items() if rule in (batch_norm, layer_norm, group_norm)}


def follow_others(at: Analysis) -> None:
    """Link slices of such parameters with the units whose columns they reach as a whole."""
    labels: np.ndarray | None = None
    for tensor in at.names:
        if at.graph.infos[tensor].is_float and not _is_covered(at, tensor, tensor):
            for dim in at.dims(tensor):
                nodes = at.leaf(tensor, dim)
                labels = at.links.components() if labels is None else labels
                _follow(at, tensor, dim, nodes, labels)


def _is_covered(at: Analysis, tensor: int, leaf: int) -> bool:
    """Whether each use of a leaf is as a weight, as a bias, or beside data."""
    if tensor in at.graph.outputs:
        return False
    for index in at.graph.users[tensor]:
        node = at.graph.nodes[index]
        if index in at.mixings:
            continue
        if set(node.outputs) <= at.fixed:
            if not all(_is_covered(at, t, leaf) for t in node.outputs if t != tensor):
                return False
        elif tensor != leaf or not (node.name in NORMS or rule_of(node) is pointwise):
            return False
    return True


def _follow(at: Analysis, tensor: int, dim: int, nodes: torch.Tensor, labels: np.ndarray) -> None:
    """Nothing is linked if several slices reach a column, or one lies across units: it is no channel of theirs."""
    shape = at.graph.infos[tensor].shape
    count = shape[dim]
    reached = at.follow({tensor: along(dim, torch.arange(count), count, shape)})
    found = {}
    for index, words in reached.columns.items():
        ids, several = decode(words, count)
        if bool(several.any()) or not _fits(ids.numpy(), labels[at.columns(index).numpy()]):
            return
        found[index] = ids
    for index, ids in found.items():
        at.join(nodes, ids, at.columns(index))
    for words in reached.out:
        ids, several = decode(words, count)
        at.links.bar(nodes if bool(several.any()) else nodes[ids[ids >= 0].unique()], "it reaches the output")


def _fits(ids: np.ndarray, labels: np.ndarray) -> bool:
    """Whether each slice stays within one unit, or takes whole units alone; else it lies across them."""
    pairs = np.unique(np.stack([ids, labels])[:, ids >= 0], axis=1)
    units_of_id, ids_of_unit = (_counts(values) for values in pairs)
    return bool(((units_of_id == 1) | (ids_of_unit == 1)).all())


def _counts(values: np.ndarray) -> np.ndarray:
    """How often each value occurs, in its place."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    found: np.ndarray = counts[inverse.reshape(-1)]
    return found
