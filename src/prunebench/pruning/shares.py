"""Shares: how what goes is spread over tensors, or over groups of units; the registry of scopes.

A scope of single weights takes, by name, those of these arguments that it asks for, and returns how many weights go of
each tensor:

    shapes       name → shape
    sizes        name → weights that there were
    left         name → weights that are left so far
    going        how many go in all, which what is returned sums up to
    fraction     the share of what is left that goes
    gone         the share of what there was that is gone then, on the way to a target; else None
    weights      name → the parameter, detached; 0 where it is masked
    masks        name → mask, True where a weight is left
    input_norms  name → of what each weight is multiplied with ‖x‖₂ over the calibration samples
    gradients    name → of the mean loss of these samples

A scope of units says which groups are ranked together: those to which `pool` gives the same value. It takes of these:

    group    where in the parameters the units stand (units/groups.py)
    model    the whole model
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prunebench.errors import ConfigError
from prunebench.pruning.registry import needs
from prunebench.registry import Registry

if TYPE_CHECKING:
    import torch

GLOBAL_UNITS = "global-units"
"""What `global` is kept as in runs of structured pruning: those of before have `global` where none was asked for."""


@dataclass(frozen=True)
class Scope:
    """A registered scope.

    Attributes:
        summary: what is ranked with what, with the formula of the shares and the paper.
        spread: as the top of this module describes; None: all weights are ranked together, and nothing is spread.
        in_rows: whether within a tensor the same share of every row goes, that is of the weights of every output.
        masks: whether it has a meaning for single weights.
        pool: as the top of this module describes; None: it has no meaning for units.
        shares: scores units, as a criterion does; how many go of each group is what a ranking of the pool by these
            scores would take, and which they are, the criterion says. None: it says both.
        compares: whether units of different groups compete by the criterion's scores.
    """

    name: str
    summary: str
    spread: Callable[..., dict[str, int]] | None = None
    in_rows: bool = False
    masks: bool = True
    pool: Callable[..., Hashable] | None = None
    shares: Callable[..., torch.Tensor] | None = None
    compares: bool = False

    @property
    def pooled(self) -> bool:
        """Whether units of different layers compete for what stays, so that widths depend on the scores."""
        return self.compares or self.shares is not None


scopes: Registry[Scope] = Registry("scope", "prunebench.pruning.scopes", None)


def of_weights(name: str | None) -> Scope:
    """A scope by name, global where none is named; raises ConfigError where it has no meaning for single weights."""
    if not (found := scopes.get(name or "global")).masks:
        fit = ", ".join(each for each in scopes.names() if scopes.get(each).masks)
        raise ConfigError(
            f"--scope {name} ranks groups of units, and unstructured pruning removes single weights: give {fit}."
        )
    return found


def of_units(name: str | None) -> Scope:
    """A scope by name, layerwise where none is named; raises ConfigError where it has no meaning for units."""
    if (found := scopes.get(name or "layerwise")).pool is None:
        fit = ", ".join(each for each in scopes.names() if scopes.get(each).pool)
        raise ConfigError(
            f"--scope {name} says how many single weights each layer keeps, and structured pruning removes whole "
            f"units, which stand in several: give {fit}."
        )
    return found


def kept_as(name: str | None, units: bool) -> str | None:
    """A scope as it is kept in the settings of a run: of units, layerwise, the default, is none."""
    name = scopes.named(name)
    return {"layerwise": None, "global": GLOBAL_UNITS}.get(name or "", name) if units else name


def needs_of(criterion: Callable[..., Any], scope: str | None) -> tuple[str, ...]:
    """What a criterion and a scope ask for that takes training data."""
    spread = scopes.get(scope).spread if scope else None
    return needs(criterion) if spread is None else needs(criterion, spread)


def whole(shares: Mapping[str, float]) -> dict[str, int]:
    """Numbers that sum up to a whole one, as whole ones with that sum: rounded down, and the largest remainders up.

    Of equal remainders the first goes up.
    """
    total = round(sum(shares.values()))
    found = {name: int(share) for name, share in shares.items()}
    up = sorted(shares, key=lambda name: found[name] - shares[name])[: total - sum(found.values())]
    return {name: count + (name in up) for name, count in found.items()}


def levelled(
    room: Mapping[str, int], sizes: Mapping[str, int], stay: int, above: Mapping[str, float]
) -> dict[str, int]:
    """How many weights stay of each tensor where it keeps a share c of its size more than `above` says, the same c for
    all; none less than 0, none more than it has room for, and all together `stay`."""

    def at(c: float) -> dict[str, float]:
        return {name: min(max((c + above[name]) * sizes[name], 0.0), room[name]) for name in room}

    low, high = -1.0 - max(above.values(), default=0.0), 1.0 - min(above.values(), default=0.0)
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if sum(at(middle).values()) < stay else (low, middle)
    return _bounded(at(high), room, stay)


def _bounded(shares: Mapping[str, float], room: Mapping[str, int], stay: int) -> dict[str, int]:
    """Shares as whole numbers that sum up to `stay`, none above what there is room for."""
    found = whole(shares)
    for name in sorted(room, key=lambda name: room[name] - found[name], reverse=True):
        found[name] += max(min(stay - sum(found.values()), room[name] - found[name]), -found[name])
    return found
