"""The record of a step: what was asked, what was achieved, and how large the model is then."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from prunebench.config import Settings
from prunebench.experiment.setup import Setup
from prunebench.models.costs import masked, params
from prunebench.models.layers import layer_records, prunable_weights, unit_count
from prunebench.models.macs import effective, total, uses
from prunebench.pruning.amounts import left as left_of
from prunebench.pruning.amounts import step_fraction, target
from prunebench.pruning.registry import Method
from prunebench.records import StepRecord
from prunebench.registry import reference
from prunebench.training.state import StepState

APART = 0.01
"""Of shares left, that are asked for and come to: more is told."""


def trained_record(setup: Setup, state: StepState, **scores: Any) -> StepRecord:
    """The record of a training: no method has been chosen, and nothing removed. `scores` as the record names them."""
    names = setup.weights.names
    layers = layer_records(state.checkpoint.model, state.checkpoint.masks, (), setup.collapsed(state.checkpoint), names)
    return _record(
        setup,
        state,
        {"method": "dense", "criterion": "none", "fraction": 0.0, "nominal_left": 1.0},
        prunable_weights([f"{layer.name}.weight" for layer in layers], layers),
        layers=layers,
        **scores,
    )


def step_record(setup: Setup, state: StepState, first: StepRecord | None, **scores: Any) -> StepRecord:
    """The record of a step of pruning; `first` is that of step 0, which knows the original sizes."""
    experiment, at = setup.experiment, state.checkpoint
    method, settings = experiment.method, experiment.settings
    left = method.count(at.model, at.masks, setup.request(state.step))
    whole = left if first else method.count(at.model, {}, setup.request(0))  # weights may come with masks
    originals = {unit.kind: unit.original for unit in first.units} if first else whole
    before = state.before or left
    layers = layer_records(at.model, at.masks, first.layers if first else (), setup.collapsed(at), setup.weights.names)
    asked = {"method": method.name, "criterion": reference(settings.criterion)}
    found = _record(
        setup,
        state,
        asked
        | {"fraction": step_fraction(settings, state.step), "nominal_left": left_of(settings, method, state.step)},
        prunable_weights(method.prunable(at.model, setup.request(state.step)), layers),
        layers=layers,
        units=tuple(unit_count(kind, originals[kind], before[kind], left[kind]) for kind in left),
        **scores,
    )
    told = missed(found, first, settings, method) if first else ()
    return msgspec.structs.replace(found, notes=(*found.notes, *told))


def missed(record: StepRecord, first: StepRecord, settings: Settings, method: Method) -> Iterator[str]:
    """What to say where a step leaves more or less than its target, by over a point; `first` is of step 0."""
    if target(settings) is None:
        return
    of, left = "the units", sum(unit.left for unit in record.units) / max(1, sum(u.original for u in record.units))
    if settings.macs is not None:
        of, left = "the MACs", record.macs / first.macs
    elif settings.compression is not None and not method.masks:
        of, left = "the parameters", record.params / first.params
    elif method.masks:
        of = "the weights"
    if abs(left - record.nominal_left) > APART:
        yield (
            f"{100 * record.nominal_left:.3g} % of {of} were to be left, and {100 * left:.3g} % are: what goes is "
            f"whole, and layers that are spared or keep a share decide"
        )


def _record(
    setup: Setup, state: StepState, asked: dict[str, Any], weights: tuple[int, int, int], **found: Any
) -> StepRecord:
    settings, at = setup.experiment.settings, state.checkpoint
    original, filters, kept = weights
    multiplied = uses(at.model, setup.task.inputs)
    return StepRecord(
        **{"units": ()} | found | asked,
        run="",
        model=reference(settings.model),
        dataset=reference(settings.dataset),
        seed=settings.seed,
        step=state.step,
        prunable_weights=original,
        prunable_weights_masked=filters,
        prunable_weights_left=kept,
        params=params(at.model),
        nonzero_params=params(at.model) - masked(at.masks),
        macs=total(multiplied),
        effective_macs=effective(multiplied, at.masks),
        loss=state.mean_loss,
        notes=state.notes,
        removed=state.removed,
        samples_seen=setup.samples_seen(state.step),
    )
