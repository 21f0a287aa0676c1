"""Weights: which row or which column of an operation a slice of a parameter is."""

from __future__ import annotations

import torch
from torch import nn

from prunebench.pruning.units.analysis import Analysis
from prunebench.pruning.units.follow import follow
from prunebench.pruning.units.words import along, compact, decode, gathered
from prunebench.pruning.units.zeroing import zeroed_columns


def place_weights(at: Analysis, model: nn.Module) -> None:
    """Link slices of parameters with rows and columns of the operations whose weights and biases they are."""
    unclear: list[tuple[int, int, int]] = []
    for tensor in at.names:
        if at.graph.users[tensor]:
            for dim in at.dims(tensor):
                unclear += [(tensor, dim, index) for index in _place(at, tensor, dim)]
    for tensor, dim, index in unclear:
        if not at.columns_known[index].all():
            ids = zeroed_columns(model, at.graph, at.mixings[index], at.names[tensor], dim)
            if (ids >= 0).any():
                _reads(at, tensor, dim, index, ids)


def _place(at: Analysis, tensor: int, dim: int) -> list[int]:
    """Link what is clear; the operations of whose weight these slices are neither rows nor columns."""
    shape = at.graph.infos[tensor].shape
    count, nodes = shape[dim], at.leaf(tensor, dim)
    starts = {tensor: along(dim, torch.arange(count), count, shape)}
    reached = follow(at.graph, at.mixings, starts, within=at.fixed, through_weights=False)
    for view, words in reached.words.items():
        if view != tensor:
            _view(at, view, words, tensor, dim)
    for index, rows in reached.biases.items():
        at.join(nodes, decode(rows, count)[0], at.rows(index))
    for index, columns in reached.columns.items():
        at.join(nodes, decode(columns, count)[0], at.columns(index))
    unclear = []
    for index, table in reached.weights.items():
        mixing = at.mixings[index]
        ids, several = decode(table, count)
        by_rows, by_columns = bool((table == table[:, :1]).all()), bool((table == table[:1]).all())
        if by_rows and by_columns and min(mixing.rows, mixing.columns) > 1 and not several.any():
            at.links.bar(nodes[ids[:1, 0]], "whole matrices lie along it")
        elif by_columns and not by_rows and mixing.columns:
            _reads(at, tensor, dim, index, ids[0].expand(mixing.columns))
        elif by_rows and not bool(several.all()):
            _makes(at, tensor, dim, index, ids[:, 0].expand(mixing.rows))
        else:
            unclear.append(index)
    return unclear


def _view(at: Analysis, view: int, words: torch.Tensor, leaf: int, dim: int) -> None:
    """Note the slices of a leaf that stand along a dimension of what is made of it, one at each index or none."""
    count, words = at.graph.infos[leaf].shape[dim], compact(words)
    for along_dim, size in enumerate(words.shape):
        others = [d for d in range(words.ndim) if d != along_dim]
        ids, several = decode(gathered(words, others).reshape(-1), count)
        if size > 1 and not bool(several.any()):
            at.views[view, along_dim].append((leaf, dim, ids))


def _reads(at: Analysis, tensor: int, dim: int, index: int, ids: torch.Tensor) -> None:
    at.join(at.leaf(tensor, dim), ids, at.columns(index))
    at.columns_known[index] |= (ids >= 0).numpy()
    at.roles.readers.add((at.names[tensor], dim))


def _makes(at: Analysis, tensor: int, dim: int, index: int, ids: torch.Tensor) -> None:
    name, mixing = at.names[tensor], at.mixings[index]
    at.join(at.leaf(tensor, dim), ids, at.rows(index))
    at.rows_known[index] |= (ids >= 0).numpy()
    at.rows_by[index].append((name, dim, ids.numpy().tobytes()))
    at.roles.makers.add((name, dim))
    if mixing.kind == "grouped conv":
        at.roles.grouped.add(name)
    elif mixing.kind != "conv":
        at.roles.linear.add(name)


def bar_unknown(at: Analysis) -> None:
    """What no parameter can take away is never removed: the input, and rows and columns that no weight tells."""
    starts = {}
    for tensor in at.graph.inputs:
        if at.graph.infos[tensor].is_float:
            starts[tensor] = torch.ones((), dtype=torch.int64).expand(at.graph.infos[tensor].shape)
    for index, mixing in at.mixings.items():
        if mixing.columns and not at.columns_known[index].all():
            at.links.bar(at.columns(index)[~at.columns_known[index]], "its weights cannot be followed")
        if not at.rows_known[index].all():
            starts[mixing.node.outputs[0]] = mixing.made(torch.from_numpy(~at.rows_known[index]).long())
    for index, columns in at.follow(starts, passing=set()).columns.items():
        at.links.bar(at.columns(index)[columns != 0], "what no weight makes is added to its channels")
