"""What pruning gains on a device, as `prunebench efficiency` times it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any

import torch

from gpu_cases import BASE
from prunebench import EfficiencyConfig, RunConfig, time_untrained
from prunebench.statistics import paired_speedup

TIMED: dict[str, dict[str, Any]] = {
    "resnet18 at 32 px, structured 50 %": {"model": "resnet18", "image_size": 32, "method": "structured"},
    "resnet50 at 224 px, structured 50 %": {"model": "resnet50", "image_size": 224, "method": "structured"},
    "bert-mini, structured 50 %": {"model": "bert", "sequence_length": 128, "method": "structured"},
    "bert-mini, unstructured 90 %": {
        **{"model": "bert", "sequence_length": 128, "method": "unstructured", "fraction": 0.9},
    },
    "bert-mini, 2:4": {
        **{"model": "bert", "sequence_length": 128, "method": "unstructured", "pattern": "2:4", "fraction": None},
    },
}
"""Untrained models, pruned once."""

Row = dict[str, Any]


COMPILED = (
    ("resnet18 at 32 px, structured 50 %", "bf16"),
    ("bert-mini, structured 50 %", "bf16"),
    ("resnet18 at 32 px, structured 50 %", "fp32"),
)
"""What is compiled, and in which arithmetic."""


def times(name: str, device: str, dtype: str, backend: str, *, seconds: float, sizes: Sequence[int]) -> Iterator[Row]:
    """A row per variant and batch size of one of TIMED: milliseconds, their gain over the original, peak bytes."""
    about = {"what": name, "backend": backend, "dtype": dtype}
    config = RunConfig(**{**BASE, **TIMED[name], "device": device})
    how = EfficiencyConfig(backend=backend, dtype=dtype, batch_sizes=tuple(sizes), time_budget=seconds)
    try:
        for record in time_untrained(config, how):
            yield from (about | row for row in _rows(record))
    except Exception as error:
        yield about | {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}


def _rows(record: Any) -> Iterator[Row]:
    originals = {each.batch_size: each.samples_ms for each in record.latencies if each.variant == "original"}
    for each in record.latencies:
        if each.variant == "rounded":
            continue
        gain = paired_speedup(originals[each.batch_size], each.samples_ms)
        yield {
            "variant": each.variant,
            "batch": each.batch_size,
            "ms": median(each.samples_ms),
            "speedup": [gain.median, gain.low, gain.high],
            "peak_bytes": each.peak_bytes,
            "difference": each.max_difference,
        }
    if record.notes or record.sparse_layers:
        stored = [layer for layer in record.sparse_layers if layer.chosen]
        yield {
            "variant": "layers",
            "tried": len(record.sparse_layers),
            "chosen": sorted({f"{layer.name}@{layer.batch_size} {layer.layout}" for layer in stored}),
            "said": list(record.notes),
        }


def linear_2_4(device: str) -> Iterator[Row]:
    """One linear layer of 4096 inputs and 14,336 outputs in bf16, stored as 2:4, against itself dense."""
    from torch import nn

    from prunebench.alternation import alternate
    from prunebench.latency.layouts import SemiStructuredLinear
    from prunebench.training.device import stopwatch_for

    layer = nn.Linear(4096, 14336, device=device, dtype=torch.bfloat16)
    how = {"seconds": 4, "ci_width": 0.02, "seed": 0, "stopwatch": stopwatch_for(torch.device(device))}
    with torch.no_grad():
        layer.weight.view(-1, 4)[:, ::2] = 0
        sparse = SemiStructuredLinear(layer)
        for samples in (64, 2048, 16384):
            given = torch.randn(samples, 4096, device=device, dtype=torch.bfloat16)
            calls = {"dense": lambda given=given: layer(given), "2:4": lambda given=given: sparse(given)}
            found = alternate(calls, [("dense", "2:4")], **how)
            gain = paired_speedup(found.samples_ms["dense"], found.samples_ms["2:4"])
            apart = float((sparse(given) - layer(given)).float().abs().max() / layer(given).float().abs().max())
            yield {
                "what": "linear 4096 → 14336, 2:4",
                "batch": samples,
                "speedup": [gain.median, gain.low, gain.high],
                "ms": median(found.samples_ms["dense"]),
                "difference": apart,
            }
