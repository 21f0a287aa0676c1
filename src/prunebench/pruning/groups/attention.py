"""Attention heads and feed-forward neurons of BERT-like encoders (Michel et al. 2019).

A head owns its rows of query, key and value and its columns of the attention output; a neuron its row of the
intermediate layer and its column of the output layer. Both hang together with nothing else.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from prunebench.pruning.groups import Group, Slice


def layers(model: nn.Module) -> list[tuple[str, Any]]:
    """Encoder layers with BERT's parts, and their names."""
    parts = ("attention.self.query", "attention.output.dense", "intermediate.dense", "output.dense")
    return [
        (name, module)
        for name, module in model.named_modules()
        if all(_has(module, part) for part in parts) and hasattr(_attention(module), "num_attention_heads")
    ]


def groups_of(model: nn.Module) -> list[Group]:
    """Heads, ranked over all layers together (a tenth of one layer's four would be none for ever), and neurons."""
    groups = []
    for name, layer in layers(model):
        groups += [_heads(name, layer), _neurons(name, layer)]
    return groups


def _heads(name: str, layer: Any) -> Group:
    import torch_pruning

    attention = _attention(layer)
    size, heads = attention.attention_head_size, attention.num_attention_heads
    positions = torch.arange(heads * size)
    inner = f"{name}.attention.self"
    slices = [
        Slice(f"{inner}.{part}.{key}", 0, positions, positions // size)
        for part in ("query", "key", "value")
        for key in ("weight", "bias")
    ]
    slices.append(Slice(f"{name}.attention.output.dense.weight", 1, positions, positions // size))

    def remove(doomed: list[int]) -> None:
        rows = [head * size + i for head in doomed for i in range(size)]
        for part in (attention.query, attention.key, attention.value):
            torch_pruning.prune_linear_out_channels(part, rows)
        torch_pruning.prune_linear_in_channels(layer.attention.output.dense, rows)
        attention.num_attention_heads -= len(doomed)
        attention.all_head_size = attention.num_attention_heads * size

    modules = tuple(f"{inner}.{part}" for part in ("query", "key", "value"))
    return Group("heads", heads, modules, tuple(slices), remove, ranked_with="heads")


def _neurons(name: str, layer: Any) -> Group:
    import torch_pruning

    first, second = layer.intermediate.dense, layer.output.dense
    units = torch.arange(first.out_features)

    def remove(doomed: list[int]) -> None:
        torch_pruning.prune_linear_out_channels(first, doomed)
        torch_pruning.prune_linear_in_channels(second, doomed)

    slices = (
        Slice(f"{name}.intermediate.dense.weight", 0, units, units),
        Slice(f"{name}.intermediate.dense.bias", 0, units, units),
        Slice(f"{name}.output.dense.weight", 1, units, units),
    )
    return Group("neurons", first.out_features, (f"{name}.intermediate.dense",), slices, remove)


def prunable(model: nn.Module) -> list[str]:
    """Names of the linear weights of the encoder layers."""
    return [
        f"{name}.{path}.weight"
        for name, layer in layers(model)
        for path, module in layer.named_modules()
        if isinstance(module, nn.Linear)
    ]


def _attention(layer: Any) -> Any:
    return layer.attention.self


def _has(module: nn.Module, path: str) -> bool:
    for part in path.split("."):
        if not isinstance(getattr(module, part, None), nn.Module):
            return False
        module = getattr(module, part)
    return True
