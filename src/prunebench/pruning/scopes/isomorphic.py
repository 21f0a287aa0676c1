"""Isomorphic pruning: units of groups of the same topology are ranked together, and each topology loses the same share
(Fang et al. 2024, arXiv 2407.04616).

Two groups are of the same topology where their units are of the same kind, and as many layers of each class make them,
read them, or scale them, with weights of as many dimensions. Widths, and sizes of kernels, may differ. So the inner
channels of all blocks of a ResNet compete, and those of a sum, which many layers make, with none that has other layers.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

from prunebench.pruning.shares import Scope, scopes

if TYPE_CHECKING:
    from torch import nn

    from prunebench.pruning.units.groups import Group


def topology(group: Group, model: nn.Module) -> Hashable:
    """The kind of units, and of each part of the group the layer's class, whether it reads, and the dimensions."""
    from prunebench.models.sizes import tensors_of
    from prunebench.pruning.units.groups import module_of

    sizes = tensors_of(model)
    parts = []
    for part in group.parts:
        kind = type(model.get_submodule(module_of(part.parameter)))
        own = part.parameter.rpartition(".")[2]
        role = "reads" if part.reads else "makes"
        parts.append((f"{kind.__module__}.{kind.__qualname__}", own, role, part.dim, sizes[part.parameter].ndim))
    return group.kind, tuple(sorted(parts))


scopes.add(
    "isomorphic",
    Scope(
        "isomorphic",
        "of units: groups with the same layers around them are ranked together (Fang et al. 2024)",
        masks=False,
        pool=topology,
        compares=True,
    ),
)
