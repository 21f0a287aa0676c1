"""Remarks: notes of steps and of timings, and layers that collapsed, each once for all seeds that it holds of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prunebench.records import StepRecord
from prunebench.report.figures import Series
from prunebench.results.curves import Curve


def remarks(groups: Sequence[list[Curve]], named: Sequence[Series]) -> list[str]:
    """`resnet18 on digits, structured, step 3 (seed 0, 1): Warning: conv1 collapsed …`, in the order of the groups."""
    found: dict[tuple[str, int, str], list[int]] = {}
    proofs: dict[tuple[str, str], None] = {}
    for group, name in zip(groups, named, strict=True):
        for curve in group:
            proofs |= {(f"{name.family}, {name.label}", text): None for text in _proof(curve)}
            told = [(r.step, text) for r in curve.records for text in (*_removed(r), *r.notes, *_collapsed(r))]
            for step, text in (*told, *_timed(curve)):
                found.setdefault((f"{name.family}, {name.label}", step, text), []).append(curve.seed)
    return [f"{who}: {text}." for who, text in proofs] + [
        f"{who}, step {step} (seed {', '.join(map(str, seeds))}): {text}." for (who, step, text), seeds in found.items()
    ]


def _proof(curve: Curve) -> Iterator[str]:
    """What was proved of the removal of units, or blocks, before anything was trained."""
    for record in curve.records:
        if record.summary is not None and (proof := record.summary.proof) is not None:
            how = "; norms average over the channels that are left" if proof.through_norms else ""
            what = f"{proof.blocks} blocks" if proof.blocks else f"{proof.groups} groups of units"
            how = "; a norm that follows the sum goes with its block" if proof.normed else how
            yield f"removal proved exact on this model: {what}{how}"


def _timed(curve: Curve) -> Iterator[tuple[int, str]]:
    """`timed on eager: 2:4 gains nothing here …`, with the step."""
    for backend, timings in curve.timings.items():
        for timing in timings:
            yield from ((timing.step, f"timed on {backend}: {note.removesuffix('.')}") for note in timing.notes)


def _removed(record: StepRecord) -> Iterator[str]:
    """`layer4.1 was removed`, the blocks that a step removed."""
    if record.removed:
        names = ", ".join(block.name for block in record.removed)
        yield f"{names} {'was' if len(record.removed) == 1 else 'were'} removed"


def _collapsed(record: StepRecord) -> Iterator[str]:
    """`Warning: conv1, conv2 collapsed (all weights are zero)`, a sentence per way in which layers collapsed."""
    ways: dict[str, list[str]] = {}
    for layer in record.layers:
        if layer.collapsed:
            ways.setdefault(layer.collapsed, []).append(layer.name)
    for way, names in ways.items():
        yield f"Warning: {', '.join(names)} collapsed ({way})"
