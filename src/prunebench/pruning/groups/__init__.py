"""Group: units that can only be removed together, and where in the parameters each of them stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Slice:
    """Positions `index` along dimension `dim` of a parameter belong to the units `unit`, element by element."""

    parameter: str
    dim: int
    index: torch.Tensor
    unit: torch.Tensor

    def sums(self, scores: torch.Tensor, units: int) -> torch.Tensor:
        """The scores of the parameter summed up per unit, shape (units,)."""
        import torch

        other = [d for d in range(scores.ndim) if d != self.dim]
        positions = scores.sum(other) if other else scores
        picked = positions[self.index.to(scores.device)]
        total = torch.zeros(units, device=scores.device, dtype=scores.dtype)
        return total.index_add_(0, self.unit.to(scores.device), picked)


@dataclass(frozen=True)
class Group:
    """Units (channels, neurons or heads) of one or several layers that are removed together.

    Attributes:
        kind: what the units are.
        modules: names of the layers whose outputs the units are.
        slices: every part of a parameter that goes with a unit: weights read by `dim` 0 (output) or 1 (input),
            biases and norms.
        remove: takes the sorted units to remove; changes the model in place.
        ranked_with: groups of the same name are ranked together.
    """

    kind: Literal["channels", "neurons", "heads"]
    units: int
    modules: tuple[str, ...]
    slices: tuple[Slice, ...]
    remove: Callable[[list[int]], None]
    ranked_with: str | None = None
