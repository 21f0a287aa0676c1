"""A step of unstructured pruning takes at most 1 s per 100 million weights, and units are scored and chosen in 2 s.

    python benchmarks/pruning.py

Unstructured: a stack of linear layers of 100 million weights loses 20 % of those that are left in each step, by l1,
all ranked together; what is timed is the method itself, masks included, from the second step on. Structured: the units
of ResNet50, VGG16, ViT-B/16 and BERT are scored by l2 and by fpgm and chosen; which they are was found before, and what
that takes `units.py` tells. Seconds are those of the clock, and in brackets the processor's; the peak of memory is what
a step takes besides the model and the masks that it began with, over the size of the weights in float32.
"""

from __future__ import annotations

import gc
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pairing import Claim, options, report
from prunebench.models.input_spec import InputSpec
from prunebench.pruning.methods.structured import groups_of
from prunebench.pruning.methods.unstructured import prune
from prunebench.pruning.multiplied import find_weights
from prunebench.pruning.registry import Request, criteria
from prunebench.pruning.rounds import in_rounds
from prunebench.pruning.units.removable import find_removable
from units import built

WEIGHTS, WIDTH = 100e6, 2048
MODELS, CRITERIA = ("resnet50", "vgg16", "vit_b_16", "bert"), ("l2", "fpgm")


def timed(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Seconds of the clock and of the processor, and what the work returns."""
    gc.collect()
    clock, processor = time.perf_counter(), time.process_time()
    result = work()
    return time.perf_counter() - clock, time.process_time() - processor, result


def unstructured(rounds: int) -> tuple[list[tuple[float, float]], list[float]]:
    """Seconds per 100 million weights, and the peak of memory over the weights' own, of each step but the first."""
    layers = round(WEIGHTS / WIDTH**2)
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, WIDTH), *(nn.Linear(WIDTH, WIDTH) for _ in range(layers)))
    model.append(nn.Linear(WIDTH, 10))
    inputs = InputSpec(kind="images", size=8)
    score = criteria.get("l1").score
    assert score is not None
    request = Request(0.2, score, inputs, weights=find_weights(model, inputs))
    masks: Any = {}
    seconds, peaks = [], []
    for _ in range(rounds + 1):
        before = resident(reset=True)
        clock, processor, pruned = timed(lambda masks=masks: prune(model, masks, request))
        masks = pruned.masks
        size = sum(mask.numel() for mask in masks.values())
        seconds.append((clock * 1e8 / size, processor * 1e8 / size))
        peaks.append((peak() - before) / (4 * size))
    return seconds[1:], peaks[1:]


def structured(name: str, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Seconds that it takes to score and choose the units of a model, by criterion."""
    model, inputs = built(name)
    found = find_removable(model.eval(), inputs, (0.3,))
    seconds: dict[str, list[tuple[float, float]]] = {}
    for criterion in CRITERIA * rounds:
        entry = criteria.get(criterion)
        score = entry.unit or entry.score
        assert score is not None
        request = Request(0.3, score, inputs, removable=found)
        groups = groups_of(model, request)
        clock, processor, _ = timed(lambda request=request, groups=groups: in_rounds(model, groups, request))
        seconds.setdefault(criterion, []).append((clock, processor))
    return seconds


def resident(*, reset: bool = False) -> float:
    """Bytes of resident memory; with `reset` the peak is counted anew from here."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _status("VmRSS")


def peak() -> float:
    """Bytes of resident memory at its peak."""
    return _status("VmHWM")


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return float(next(line for line in lines if line.startswith(name)).split()[1]) * 1024


def claim(what: str, seconds: list[tuple[float, float]], target: float) -> Claim:
    """The clock's seconds against their target; the processor's beside them."""
    middle = sorted(processor for _, processor in seconds)[len(seconds) // 2]
    return Claim(what, [clock for clock, _ in seconds], "≤", target, "s", note=f"({middle:.2f} s of the processor)")


def main() -> int:
    """Run it."""
    given = options(__doc__ or "", rounds=5, models=MODELS).parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    warnings.simplefilter("ignore")  # of the models' own
    seconds, peaks = unstructured(given.rounds)
    claims = [
        claim("unstructured, global, l1: per 100 M weights", seconds, 1.0),
        Claim("unstructured: peak memory over the weights", peaks, "≤", 2.0),
    ]
    for name in given.models:
        for criterion, of in structured(name, given.rounds).items():
            claims.append(claim(f"structured, {criterion}, {name}", of, 2.0))
    return report(claims, rounds=given.rounds, threads=given.threads)


if __name__ == "__main__":
    sys.exit(main())
