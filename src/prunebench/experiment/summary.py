"""What a run takes its data, weights and model for: told before anything is trained, and kept in its records."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np
from torch import nn

from prunebench.data.dataset import Dataset, counts
from prunebench.experiment.data import class_weights
from prunebench.experiment.experiment import Experiment
from prunebench.experiment.identity import storable
from prunebench.experiment.plan import some
from prunebench.models.costs import params
from prunebench.models.input_spec import InputSpec
from prunebench.models.layers import layer_name
from prunebench.models.macs import total, uses
from prunebench.models.sharing import first_names
from prunebench.pruning.registry import Request, matches
from prunebench.pruning.units.groups import module_of
from prunebench.records import PartSummary, ProofRecord, Summary
from prunebench.registry import reference
from prunebench.runs.digests import shown

WEIGHTED = (nn.modules.conv._ConvNd, nn.Linear)
"""Layers that are told of whatever the method."""

OTHERWISE = "nothing that it holds can be removed alone"

IN_NO_BLOCK = "in no block"

UNEVEN = 10
"""From so many times as many samples of one class as of another on, imbalance is told."""


def summary_of(
    experiment: Experiment,
    dataset: Dataset,
    model: nn.Module,
    *,
    inputs: InputSpec,
    request: Request | None,
    notes: tuple[str, ...],
    doubt: str = "",
) -> Summary:
    """The summary of an experiment.

    Args:
        experiment: what is told of.
        dataset: the part of the data that it uses.
        model: before any training.
        inputs: what it reads.
        request: what is to be pruned first; None where nothing is.
        notes: on the weights that it starts from.
        doubt: what is unlikely of the model's outputs; empty where nothing is.
    """
    first = first_names(model)
    reached = {first.get(name, name) for name in (experiment.method.reached(model, request) if request else ())}
    multiplied = uses(model, inputs)
    spared, parameters = dict[str, str](), dict[str, int]()
    if request and experiment.method.masks:
        unreached = {n: p.numel() for n, p in model.named_parameters() if p.ndim > 1 and n not in reached}
        spared, parameters = _unreached(unreached, request)
    elif request and experiment.method.removes:
        spared = spared_layers(model, request, {module_of(name) for name, one in first.items() if one in reached})
    return Summary(
        data=reference(experiment.settings.dataset),
        digest=experiment.data_digest,
        parts=_parts(dataset),
        classes=tuple(storable(str(name)) for name in dataset.classes),
        left_out=tuple(storable(note) for note in (*dataset.notes, *_uneven(dataset), *_weighted(dataset, experiment))),
        weights=(_weights(experiment), *notes),
        mean=inputs.mean,
        std=inputs.std,
        params=params(model),
        macs=total(multiplied),
        reached_params=sum(model.get_parameter(name).numel() for name in reached),
        reached_macs=sum(count for names, count in multiplied.items() if not names.isdisjoint(reached)),
        spared=spared,
        spared_params=parameters,
        proof=proof_of(request) if request else None,
        doubts=(doubt,) if doubt else (),
    )


def _parts(dataset: Dataset) -> dict[str, PartSummary]:
    found = {}
    for name, split in dataset.splits.items():
        if len(split):
            of = counts(split.labels, len(dataset.classes))
            found[str(name)] = PartSummary(len(split), len(dataset.classes), int(of.min()), int(of.max()))
    return found


def _uneven(dataset: Dataset) -> Iterator[str]:
    """Classes without samples, and imbalance."""
    for part, of in _parts(dataset).items():
        there = counts(dataset.splits[part].labels, len(dataset.classes))  # type: ignore[index]
        empty = [shown(dataset.classes[i]) for i in np.flatnonzero(there == 0).tolist()]
        if empty:
            yield f"{part} has no sample of {some(empty)}"
        elif of.most >= UNEVEN * of.fewest:
            yield f"{part} is uneven: {of.fewest:,} samples of its smallest class, {of.most:,} of its largest"


def _weighted(dataset: Dataset, experiment: Experiment) -> Iterator[str]:
    """The class weights in use; that there are none, where training data is uneven."""
    weights = class_weights(dataset, experiment.settings)
    train = _parts(dataset)["train"]
    if weights is not None:
        least, most = weights[weights > 0].min(), weights.max()
        yield (
            f"class weights: balanced, {least:.3g} for the largest class of train to {most:.3g} for the smallest; they "
            f"weigh the loss, not the scores"
        )
    elif train.most >= UNEVEN * train.fewest > 0 and dataset.loss is None and not dataset.is_multi_label:
        yield "class weights: none; --class-weights balanced has all classes count alike in the loss"


def _weights(experiment: Experiment) -> str:
    """Where the weights come from."""
    origin, weights = experiment.origin, experiment.settings.weights
    if origin.kind == "none":
        return "fresh, from the seed"
    if origin.run is not None:
        return f"of run {origin.run.key}"
    published = experiment.model.published.get(weights) if origin.kind == "published" else None
    return f"of {weights}" if published is None else published.called


def proof_of(request: Request) -> ProofRecord | None:
    """What was proved before pruning, of units or of blocks, as it is recorded; None where nothing was."""
    if (found := request.blocks) is not None:
        normed = sum(not block.exact for block in found.blocks)
        return ProofRecord(
            groups=0, difference=found.largest, problem=found.problem, blocks=len(found.blocks), normed=normed
        )
    if (units := request.removable) is None:
        return None
    return ProofRecord(
        groups=len(units.groups),
        difference=units.largest,
        problem=units.problem,
        through_norms=units.through_norms,
    )


def _unreached(sizes: Mapping[str, int], request: Request) -> tuple[dict[str, str], dict[str, int]]:
    """Parameters of two or more dimensions that are not masked → why; and why → how many values they have."""
    found = request.weights
    others = found.others if found else {}
    layers = {layer_name(name) for name in (found.names if found else ())}
    spared, counts = dict[str, str](), dict[str, int]()
    for name, size in sizes.items():
        why = others.get(name, "--include and --exclude")
        layer = layer_name(name)
        spared[name if layer in layers and name in others else layer] = why
        counts[why] = counts.get(why, 0) + size
    return spared, counts


def spared_layers(model: nn.Module, request: Request, reached: set[str]) -> dict[str, str]:
    """Layers with weights of which nothing can be removed, or nothing is asked for, and why.

    Args:
        reached: names of the layers of which something can.
    """
    layers = [name for name, module in model.named_modules() if isinstance(module, WEIGHTED)]
    found, otherwise = request.removable or request.blocks, OTHERWISE
    told = {name: each.reason for each in (found.spared if found else ()) for name in each.modules}
    if request.blocks is not None:
        layers, otherwise = [name for name in layers if not matches(name, tuple(told))], IN_NO_BLOCK
    why = {name: _unselected(request, name) for name in layers if not request.selects(name)}
    return {
        name: told.get(name) or why.get(name, otherwise)
        for name in dict.fromkeys([*layers, *told])
        if name not in reached
    }


def _unselected(request: Request, name: str) -> str:
    asked = dataclasses.replace(request, keeps=())
    return "kept whole unless --include names it" if asked.selects(name) else "--include and --exclude"
