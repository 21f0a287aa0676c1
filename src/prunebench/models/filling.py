"""Filling: a pruned model takes over the values that a less pruned one has where it was pruned from."""

from __future__ import annotations

import torch

from prunebench.errors import RunError
from prunebench.models.checkpoint import Checkpoint
from prunebench.models.kept import Along
from prunebench.models.sizes import tensors_of


def fill(state: Checkpoint, source: Checkpoint) -> None:
    """Give a model, in place, the values that a less pruned one has where it was pruned from; masks stay zero.

    Raises:
        RunError: what is left of the one does not tell where it stood in the other.
    """
    named: dict[str, torch.Tensor] = dict(source.model.named_parameters(remove_duplicate=False))
    named |= dict(source.model.named_buffers(remove_duplicate=False))
    with torch.no_grad():
        for name, tensor in tensors_of(state.model).items():
            value = _taken(named[name], state.kept.get(name, {}), source.kept.get(name, {}))
            if value is None or value.shape != tensor.shape:
                raise RunError(
                    f"Which units of {name} are left was not recorded, so no others can take their values: the model "
                    f"was pruned by an earlier version. Prune it anew, with --fresh."
                )
            tensor.copy_(value)
            if (mask := state.masks.get(name)) is not None:
                tensor.masked_fill_(~mask.to(tensor.device), 0)


def _taken(value: torch.Tensor, kept: Along, had: Along) -> torch.Tensor | None:
    """The slices of a tensor that are left, where it had those of the full one itself; None where it cannot have."""
    for dim, stays in kept.items():
        left = stays[had[dim]] if dim in had else stays
        if len(left) != value.shape[dim]:
            return None
        value = value.index_select(dim, left.nonzero()[:, 0].to(value.device))
    return value
