"""ERK, Erdős–Rényi with kernels: layers keep ε·Σdims/Πdims of themselves (Evci et al. 2020, RigL, arXiv 1911.11134).

ε is such that the layers together keep what is asked for. A layer that would keep more than it has keeps what it has,
and the rest is shared again. In whole weights: rounded down, and the largest remainders up, so that the sum is exact.
"""

from __future__ import annotations

from collections.abc import Mapping

from prunebench.pruning.shares import Scope, scopes, whole


def erk(shapes: Mapping[str, tuple[int, ...]], left: Mapping[str, int], going: int) -> dict[str, int]:
    """How many weights go of each layer. A share of ε·Σdims/Πdims of its Πdims weights is ε·Σdims."""
    stay = sum(left.values()) - going
    full: set[str] = set()
    while True:
        free = {name: sum(shape) for name, shape in shapes.items() if name not in full}
        epsilon = (stay - sum(left[name] for name in full)) / sum(free.values()) if free else 0.0
        over = {name for name, dims in free.items() if epsilon * dims > left[name]}
        if not over:
            break
        full |= over
    kept = whole({name: left[name] if name in full else epsilon * free[name] for name in shapes})
    return {name: left[name] - count for name, count in kept.items()}


scopes.add("erk", Scope("erk", "layers keep ε·Σdims/Πdims of themselves (Evci et al. 2020)", erk))
