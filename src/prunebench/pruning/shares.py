"""Shares: how what goes of single weights is spread over the tensors that are pruned; the registry of scopes.

A scope takes, by name, those of these arguments that it asks for, and returns how many weights go of each tensor:

    shapes      name → shape
    sizes       name → weights that there were
    left        name → weights that are left so far
    going       how many go in all, which what is returned sums up to
    fraction    the share of what is left that goes
    gone        the share of what there was that is gone then, on the way to a target; else None
    weights     name → the parameter, detached; 0 where it is masked
    masks       name → mask, True where a weight is left
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from prunebench.registry import Registry


@dataclass(frozen=True)
class Scope:
    """A registered scope.

    Attributes:
        summary: what is ranked with what, with the formula of the shares and the paper.
        spread: as the top of this module describes; None: all weights are ranked together, and nothing is spread.
        in_rows: whether within a tensor the same share of every row goes, that is of the weights of every output.
    """

    name: str
    summary: str
    spread: Callable[..., dict[str, int]] | None = None
    in_rows: bool = False


scopes: Registry[Scope] = Registry("scope", "prunebench.pruning.scopes", None)


def whole(shares: Mapping[str, float]) -> dict[str, int]:
    """Numbers that sum up to a whole one, as whole ones with that sum: rounded down, and the largest remainders up.

    Of equal remainders the first goes up.
    """
    total = round(sum(shares.values()))
    found = {name: int(share) for name, share in shares.items()}
    up = sorted(shares, key=lambda name: found[name] - shares[name])[: total - sum(found.values())]
    return {name: count + (name in up) for name, count in found.items()}
