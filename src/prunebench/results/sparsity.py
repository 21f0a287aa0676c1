"""From which sparsity on it paid to store linear layers compressed."""

from __future__ import annotations

from collections.abc import Sequence

from prunebench.records import SparseLayer


def pays_from(layers: Sequence[SparseLayer]) -> float | None:
    """The lowest sparsity of a timed layer that was quicker compressed; None where none was."""
    return min((layer.sparsity for layer in layers if layer.chosen), default=None)


def sentences(layers: Sequence[SparseLayer]) -> list[str]:
    """What the timed layers tell, a sentence per batch size."""
    found = []
    for size in sorted({layer.batch_size for layer in layers}):
        timed = [layer for layer in layers if layer.batch_size == size]
        lowest = pays_from(timed)
        if lowest is None:
            most = max(layer.sparsity for layer in timed)
            found.append(f"batch {size}: storing linear layers sparse never paid, up to {100 * most:.1f} % sparsity.")
        else:
            above = [layer for layer in timed if layer.sparsity >= lowest]
            paid = sum(layer.chosen for layer in above)
            found.append(
                f"batch {size}: storing linear layers sparse paid from {100 * lowest:.1f} % sparsity on "
                f"({paid} of the {len(above)} layers that are at least as sparse)."
            )
    return found
