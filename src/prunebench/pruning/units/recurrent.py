"""Recurrent layers: all layers and directions of a module have the same number of hidden units."""

from __future__ import annotations

from torch import nn

from prunebench.pruning.units.nodes import Links


def tie(model: nn.Module, links: Links) -> None:
    """Join hidden unit j of every layer and direction of each recurrent module."""
    for name, module in model.named_modules():
        if not isinstance(module, nn.RNNBase):
            continue
        own = [key for key, _ in module.named_parameters(recurse=False) if key.startswith("weight_hh")]
        keys = [("leaf", f"{name}.{key}" if name else key, 1) for key in own]
        found = [links.nodes(key, links.bases[key][1]) for key in keys if key in links.bases]
        for other in found[1:]:
            links.join(found[0], other)
