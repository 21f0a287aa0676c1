"""Latency: the variants of several steps in one backend, timed together at each batch size."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from statistics import median
from typing import Any

import torch
from torch import nn

from prunebench.alternation import Samples, alternate
from prunebench.latency import sparse
from prunebench.latency.backends import Loaded
from prunebench.latency.breakdown import Passes, layer_times, shares_of
from prunebench.latency.budget import Budget
from prunebench.latency.gains import gains
from prunebench.latency.layouts import Layout, layouts
from prunebench.latency.prepare import INT8, Conditions, Ready, Scored, dtype_of, load, load_int8, memory_of, ready
from prunebench.latency.variants import TimedStep, layers_as_they_were, variants
from prunebench.models.checkpoint import Checkpoint
from prunebench.models.costs import costs
from prunebench.models.input_spec import output_of, to
from prunebench.models.taken_over import copied
from prunebench.records import Breakdown, LatencyRecord, SparseLayer, TimingRecord
from prunebench.training.device import HALF, memory_for, stopwatch_for

TOGETHER = 4
"""Steps that are timed together at most: in longer rounds, what is compared would lie far apart in time."""

MEMORY = 4 * 2**30
"""Bytes of weights that are held at once, roughly, unless one step takes more."""

CHANGED = 1e-4
"""From this difference on a backend's numbers are others than eager PyTorch's, so its accuracy is measured."""

SPARSE_SHARE = 0.2
"""Of a batch size's time, what choosing the layers to store compressed takes."""

Name = tuple[int, str]
"""A step and a variant."""

BASE: Name = (0, "unpruned")

IN_FP32 = "-fp32"
"""What ends the names of variants that are in fp32 beside others in int8."""


@dataclass(frozen=True)
class LoadedVariant:
    """A model, and the same loaded into the backend."""

    state: Checkpoint
    loaded: Loaded


@dataclass(frozen=True)
class Cell:
    """What was measured at one batch size."""

    timed: Samples[Name]
    ready: dict[Name, Ready]
    peak_bytes: dict[Name, int | None]
    passes: Passes
    sparse_layers: dict[int, list[SparseLayer]]


def measure(
    original: Checkpoint, subjects: Iterable[TimedStep], count: int, conditions: Conditions
) -> Iterator[TimingRecord]:
    """Time the variants of each step against the unpruned model; yields a record per step.

    Args:
        original: the unpruned model; inputs as its architecture says are timed.
        subjects: the steps, made as they are asked for.
        count: how many they are, between which the time is divided.
        conditions: how to time.

    Raises:
        DeviceError: there is not enough memory for a batch size.
        ModelError: the backend cannot run a model, or answers otherwise than eager PyTorch.
        Stopped: it was asked for.
    """
    efficiency = conditions.efficiency
    base = _placed(original, conditions.device)
    whole = costs(base, base.architecture.inputs)
    together = max(1, min(TOGETHER, MEMORY // (5 * whole.checkpoint_bytes)))  # a masked weight is held three times
    groups = [min(together, count - start) for start in range(0, count, together)]
    tried, why = _layouts(conditions)
    budget = Budget(
        efficiency.time_budget, (_weight(size, steps) for steps in groups for size in (*efficiency.batch_sizes, 4))
    )
    waiting = iter(subjects)
    for steps in groups:
        group = list(islice(waiting, steps))
        loaded = _load_variants(base, group, conditions)
        with torch.inference_mode():
            cells = {size: _cell(loaded, size, conditions, budget, tried) for size in efficiency.batch_sizes}
            fixed = _fixed_cost(loaded, group, conditions, budget)
            scores = _scores(loaded, cells, conditions)
        for subject in group:
            layers = tuple(layer for cell in cells.values() for layer in cell.sparse_layers[subject.step])
            yield TimingRecord(
                step=subject.step,
                latencies=tuple(_records(subject, loaded, cells, scores, conditions)),
                original=whole,
                pruned=costs(subject.state, base.architecture.inputs),
                breakdown=_breakdown(subject, base.model, cells, fixed),
                sparse_layers=layers,
                notes=gains(conditions.pattern, tried, why, layers),
            )


def _load_variants(base: Checkpoint, group: Sequence[TimedStep], conditions: Conditions) -> dict[Name, LoadedVariant]:
    states = {BASE: base}
    for subject in group:
        states |= {(subject.step, name): state for name, state in variants(base, subject).items()}
    placed = {name: _placed(state, conditions.device) for name, state in states.items()}
    if conditions.efficiency.dtype != INT8:
        return {name: LoadedVariant(state, load(state, conditions)) for name, state in placed.items()}
    found: dict[Name, LoadedVariant] = {}
    beside: dict[Name, LoadedVariant] = {}
    for (step, name), state in placed.items():
        full, small = load_int8(state, conditions)
        found[step, name] = LoadedVariant(state, small)
        if name in (BASE[1], "pruned"):
            beside[step, name + IN_FP32] = LoadedVariant(state, full)
    return found | beside


def _cell(
    loaded: Mapping[Name, LoadedVariant], size: int, conditions: Conditions, budget: Budget, tried: Sequence[Layout]
) -> Cell:
    """Time all variants of a group at one batch size."""
    base = loaded[BASE].state
    batch = base.architecture.inputs.example(size)
    stopwatch, seed = stopwatch_for(conditions.device), size + 1_000_003 * max(step for step, _ in loaded)
    steps = [step for step, variant in loaded if variant == "pruned"]
    with memory_for(size, "--batch-sizes"):
        prepared = {name: ready(variant.state, variant.loaded, batch, conditions) for name, variant in loaded.items()}
        peaks = {
            name: memory_of(loaded[name].state, found.call, conditions)
            for name, found in prepared.items()
            if name[1] != "masked"  # it holds every weight twice, and so does nobody who wants to save memory
        }
        passes = layer_times(base.model, to(batch, device=conditions.device), conditions.device)
        with budget.share(_weight(size, len(steps))) as seconds:
            layers: dict[int, list[SparseLayer]] = {step: [] for step in steps}
            for step in steps if tried else ():
                state, share = loaded[step, "pruned"].state, SPARSE_SHARE * seconds / len(steps)
                model = _in_dtype(state.model, conditions)
                layers[step] = sparse.choose(
                    model, batch, size, seconds=share, seed=seed, layouts=tried, stopwatch=stopwatch
                )
                if any(layer.chosen for layer in layers[step]):
                    compressed = _loaded(sparse.compress(model, layers[step], tried))
                    prepared[step, "sparse"] = ready(state, compressed, batch, conditions)
            calls = {name: found.call for name, found in prepared.items()}
            timed = alternate(
                calls,
                _pairs(calls),
                seconds=(1 - SPARSE_SHARE) * seconds if tried else seconds,
                ci_width=conditions.efficiency.ci_width,
                seed=seed,
                briefly=[name for name in calls if name[1] == "masked"],  # masks are multiplied by, and gain nothing
                stopwatch=stopwatch,
                stop=conditions.stop,
            )
    return Cell(timed, prepared, peaks, passes, layers)


def _pairs(names: Collection[Name]) -> list[tuple[Name, Name]]:
    """Of which variants the speed-up is to be known well; where some are in fp32 beside int8, against that as well."""
    found = [(BASE, name) for name in names if name[1] in ("pruned", "sparse")]
    full = (BASE[0], BASE[1] + IN_FP32)
    if full in names:
        found += [(full, name) for name in names if name == BASE or name[1] in ("pruned", "pruned" + IN_FP32)]
    return found


def _fixed_cost(
    loaded: Mapping[Name, LoadedVariant], group: Sequence[TimedStep], conditions: Conditions, budget: Budget
) -> Samples[tuple[int, int]]:
    """Samples of each pruned model at batch 1 and at batch 4, by step and batch size, in alternation."""
    calls = {}
    for subject in group:
        variant = loaded[subject.step, "pruned"]
        for size in (1, 4):
            batch = variant.state.architecture.inputs.example(size)
            calls[subject.step, size] = ready(variant.state, variant.loaded, batch, conditions).call
    with budget.share(_weight(4, len(group))) as seconds:
        return alternate(
            calls,
            [((subject.step, 4), (subject.step, 1)) for subject in group],
            seconds=seconds,
            ci_width=conditions.efficiency.ci_width,
            seed=group[0].step,
            stopwatch=stopwatch_for(conditions.device),
            stop=conditions.stop,
        )


def _scores(
    loaded: Mapping[Name, LoadedVariant], cells: Mapping[int, Cell], conditions: Conditions
) -> dict[Name, Scored]:
    """Accuracy of the original and the pruned models, where the backend's numbers are others than eager PyTorch's; in
    int8 beside that in fp32."""
    if conditions.score is None:
        return {}
    found: dict[Name, Scored] = {}
    for (step, name), variant in loaded.items():
        full = (step, name + IN_FP32)
        if full in loaded:
            found |= zip((full, (step, name)), conditions.score(loaded[full].loaded, variant.loaded), strict=True)
        elif name in (BASE[1], "pruned") and _changed(cells, (step, name)):
            (found[step, name],) = conditions.score(variant.loaded)
    return found


def _changed(cells: Mapping[int, Cell], name: Name) -> bool:
    """Whether a variant answers otherwise than eager PyTorch."""
    return max(cell.ready[name].difference for cell in cells.values()) > CHANGED


def _records(
    subject: TimedStep,
    loaded: Mapping[Name, LoadedVariant],
    cells: Mapping[int, Cell],
    scores: Mapping[Name, Scored],
    conditions: Conditions,
) -> Iterator[LatencyRecord]:
    for size, cell in cells.items():
        for name, samples in cell.timed.samples_ms.items():
            unpruned = name[1].startswith(BASE[1])
            if not unpruned and name[0] != subject.step:
                continue
            prepared, variant, scored = cell.ready.get(name), loaded.get(name), scores.get(name)
            quantised = variant.loaded.quantised if variant else None
            yield LatencyRecord(
                **conditions.about,
                step=subject.step,
                nominal_left=subject.nominal_left,
                variant=name[1].replace(BASE[1], "original"),
                batch_size=size,
                device=conditions.device.type,
                dtype=dtype_of(variant.loaded, conditions) if variant else conditions.efficiency.dtype,
                threads=torch.get_num_threads(),
                samples_ms=samples,
                backend=conditions.backend.name,
                warmup_rounds=cell.timed.warmup_rounds,
                ended=cell.timed.ended,
                max_difference=prepared.difference if prepared else None,
                scores=scored.scores if scored else None,
                peak_bytes=cell.peak_bytes.get(name),
                file_bytes=variant.loaded.file_bytes if variant else None,
                quantised=quantised,
                agreement=scored.agreement if scored and quantised else None,
            )


def _breakdown(
    subject: TimedStep, original: nn.Module, cells: Mapping[int, Cell], fixed: Samples[tuple[int, int]]
) -> Breakdown:
    spared = layers_as_they_were(original, subject.state)
    shares = {size: shares_of(cell.passes, spared) for size, cell in cells.items()}
    return Breakdown(
        batch1_ms=fixed.samples_ms[subject.step, 1],
        batch4_ms=fixed.samples_ms[subject.step, 4],
        unpruned_share={size: median(of) for size, of in shares.items()},
        unpruned_shares=shares,
    )


def _weight(batch_size: int, steps: int) -> float:
    """A guess of what a batch size costs, by which the time is divided: a fixed part and a part per sample."""
    return (32.0 + batch_size) * (1 + 3 * steps)


def _layouts(conditions: Conditions) -> tuple[tuple[Layout, ...], str]:
    """In which layouts layers are a variant, where single weights were pruned; and why not as their pattern is."""
    if not conditions.compressible:
        return (), ""
    efficiency = conditions.efficiency
    return layouts(conditions.pattern, backend=efficiency.backend, device=conditions.device, dtype=efficiency.dtype)


def _in_dtype(model: nn.Module, conditions: Conditions) -> nn.Module:
    """The model in the arithmetic that is timed; in 16 bits a copy."""
    dtype = conditions.efficiency.dtype
    return copied(model).to(HALF[dtype]) if dtype in HALF else model


def _placed(state: Checkpoint, device: torch.device) -> Checkpoint:
    return replace(state, model=state.model.to(device).to(memory_format=torch.contiguous_format).eval())


def _loaded(compressed: nn.Module) -> Loaded:
    """A model with compressed layers, as a backend has models."""
    return Loaded(partial(sparse.placed_for, compressed), lambda size: partial(_without_gradients, compressed))


def _without_gradients(model: nn.Module, inputs: Any) -> object:
    with torch.inference_mode(False), torch.no_grad():  # compressed weights do not work in inference mode
        return output_of(model, inputs)
