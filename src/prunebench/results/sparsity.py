"""From which sparsity on it paid to store linear layers compressed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from prunebench.records import SparseLayer


def pays_from(layers: Sequence[SparseLayer]) -> float | None:
    """The lowest sparsity of a timed layer that was quicker compressed; None where none was."""
    return min((layer.sparsity for layer in layers if layer.chosen), default=None)


def sentences(layers: Sequence[SparseLayer]) -> list[str]:
    """What the timed layers tell, a sentence per batch size."""
    found = []
    for size in sorted({layer.batch_size for layer in layers}):
        timed = [layer for layer in layers if layer.batch_size == size and layer.sparse_ms]
        if not timed:
            continue
        lowest = pays_from(timed)
        if lowest is None:
            most = max(layer.sparsity for layer in timed)
            found.append(f"batch {size}: storing linear layers sparse never paid, up to {100 * most:.1f} % sparsity.")
        else:
            above = [layer for layer in timed if layer.sparsity >= lowest]
            paid = sum(layer.chosen for layer in above)
            found.append(
                f"batch {size}: storing linear layers sparse paid from {100 * lowest:.1f} % sparsity on "
                f"({paid} of the {len(above)} layers that are at least as sparse){_layouts(timed)}."
            )
    return found


def _layouts(timed: Sequence[SparseLayer]) -> str:
    """`: 3 as BSR 16x16, 1 as CSR`, where there was another layout than CSR to choose."""
    if {layer.layout for layer in timed} | {of for layer in timed for of in layer.others_ms} <= {"CSR"}:
        return ""
    chosen = Counter(layer.layout for layer in timed if layer.chosen)
    return f": {', '.join(f'{count} as {layout}' for layout, count in sorted(chosen.items()))}"
