"""Latency: variants timed in alternation, in random order within a round, after warm-up, in inference mode."""

from __future__ import annotations

import copy
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.utils import prune as torch_prune

from prunebench import machine
from prunebench.checkpoint import Checkpoint
from prunebench.efficiency.config import EfficiencyConfig
from prunebench.errors import Stopped
from prunebench.inputs import logits_of, to
from prunebench.matrices import VARIANTS
from prunebench.records import LatencyRecord
from prunebench.training import Stop

MAX_ROUNDS = 100

Pruned = tuple[int, float, Checkpoint]
"""A step, its nominal share left, and its checkpoint."""


def alternate(
    variants: Mapping[str, Callable[[], object]], *, seconds: float, seed: int, max_rounds: int = MAX_ROUNDS
) -> dict[str, tuple[float, ...]]:
    """Time each variant once per round, in random order, until the seconds are used up; milliseconds.

    One round at least; every variant runs once before, uncounted, so that allocations and kernel choices are made.
    """
    end = time.perf_counter() + seconds
    draw = random.Random(seed)
    order = list(variants)
    samples: dict[str, list[float]] = {name: [] for name in variants}
    for name in order:
        variants[name]()
    for _ in range(max_rounds):
        draw.shuffle(order)
        for name in order:
            start = time.perf_counter()
            variants[name]()
            samples[name].append(1e3 * (time.perf_counter() - start))
        if time.perf_counter() >= end:
            break
    return {name: tuple(values) for name, values in samples.items()}


def measure(
    original: Checkpoint,
    pruned: Iterable[Pruned],
    config: EfficiencyConfig,
    *,
    about: Mapping[str, Any],
    steps: int,
    device: torch.device,
    dtype: str = "fp32",
    channels_last: bool = False,
    deadline: float | None = None,
    stop: Stop | None = None,
) -> Iterator[list[LatencyRecord]]:
    """Time the original, the masked and the physically pruned model; yields the records of one step at a time.

    Args:
        original: the unpruned model.
        pruned: (step, nominal share left, checkpoint) of each step, made as they are asked for.
        config: batch sizes and time budget.
        about: run, model and method, for the records.
        steps: how many steps `pruned` holds, between which the time is divided.
        device: where to time.
        dtype: fp32, or bf16: weights and images are converted.
        channels_last: memory layout of weights and images.
        deadline: `time.perf_counter()` at which the budget ends; None: `time_budget` seconds from now.
        stop: asked after every batch size whether to stop.

    Raises:
        DeviceError: there is not enough memory for a batch size.
        Stopped: `stop` asked for it.
    """
    deadline = time.perf_counter() + config.time_budget if deadline is None else deadline
    place = _placing(device, dtype, channels_last)
    base = place(original.model)
    cells = [size for _ in range(steps) for size in config.batch_sizes]
    for step, nominal_left, checkpoint in pruned:
        models = {"original": base}
        models["masked"] = mask_like(place(original.model), checkpoint)
        models["pruned"] = place(checkpoint.model)
        records = []
        for size in config.batch_sizes:
            inputs = _inputs(original.architecture.inputs.example(size), device, dtype, channels_last)
            share = (deadline - time.perf_counter()) * _weight(size) / sum(map(_weight, cells))
            cells.remove(size)
            if stop is not None and stop():
                raise Stopped(f"Stopped while step {step} was timed.")
            with torch.inference_mode(), machine.memory_for(size, "--batch-sizes"):
                calls = {name: _call(model, inputs, device) for name, model in models.items()}
                samples = alternate(calls, seconds=share, seed=step * 1_000_003 + size)
            records += [
                LatencyRecord(
                    **about,
                    step=step,
                    nominal_left=nominal_left,
                    variant=variant,
                    batch_size=size,
                    device=device.type,
                    dtype=dtype,
                    threads=torch.get_num_threads(),
                    samples_ms=samples[variant],
                )
                for variant in VARIANTS
            ]
        yield records


def _weight(batch_size: int) -> float:
    """A guess of what a batch costs, by which the time is divided: a fixed part and a part per sample."""
    return 32.0 + batch_size


def mask_like(model: nn.Module, pruned: Checkpoint) -> nn.Module:
    """Put `torch.nn.utils.prune` masks into a copy of the original that zero as much as was pruned; returns it.

    Where channels were removed, as many filters are masked in each layer; which ones does not affect the time.
    """
    for path, module in list(model.named_modules()):
        for name, parameter in list(module.named_parameters(recurse=False)):
            full = f"{path}.{name}" if path else name
            mask = _mask(parameter, pruned.model.get_parameter(full), pruned.masks.get(full))
            if mask is not None:
                torch_prune.custom_from_mask(module, name, mask.to(parameter))
    return model


def _mask(original: torch.Tensor, left: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor | None:
    if mask is not None or original.ndim < 2 or original.shape[0] == left.shape[0]:
        return mask
    filters = torch.zeros_like(original)
    filters[: left.shape[0]] = 1
    return filters


def _placing(device: torch.device, dtype: str, channels_last: bool) -> Callable[[nn.Module], nn.Module]:
    layout = torch.channels_last if channels_last else torch.contiguous_format
    kind = torch.bfloat16 if dtype == "bf16" else torch.float32
    return lambda model: copy.deepcopy(model).eval().to(device, kind).to(memory_format=layout)


def _inputs(example: Any, device: torch.device, dtype: str, channels_last: bool) -> Any:
    if isinstance(example, dict):
        return to(example, device=device)
    kind = torch.bfloat16 if dtype == "bf16" else torch.float32
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return example.to(device=device, dtype=kind, memory_format=layout)


def _call(model: nn.Module, inputs: Any, device: torch.device) -> Callable[[], object]:
    def call() -> None:
        logits_of(model, inputs)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return call
