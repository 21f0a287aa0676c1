"""What a run takes its data, weights and model for: told before anything is trained, and kept in its records."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from prunebench.data.dataset import Dataset
from prunebench.experiment.data import class_weights
from prunebench.experiment.experiment import Experiment
from prunebench.experiment.identity import storable
from prunebench.experiment.plan import some
from prunebench.models.costs import macs, macs_of_modules, params
from prunebench.models.input_spec import InputSpec
from prunebench.pruning.registry import Request
from prunebench.records import PartSummary, Summary
from prunebench.registry import reference

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
    reached = experiment.method.reached(model, request) if request else []
    layers = {name.rpartition(".")[0] for name in reached if name.endswith("weight")}
    by_module = macs_of_modules(model, inputs)
    return Summary(
        data=reference(experiment.settings.dataset),
        digest=experiment.data_digest,
        parts=_parts(dataset),
        left_out=tuple(storable(note) for note in (*dataset.notes, *_uneven(dataset), *_weighted(dataset, experiment))),
        weights=(_weights(experiment), *notes),
        mean=inputs.mean,
        std=inputs.std,
        params=params(model),
        macs=macs(model, inputs),
        reached_params=sum(model.get_parameter(name).numel() for name in reached),
        reached_macs=sum(by_module.get(name, 0) for name in layers),
        spared=_spared(model, request, layers) if request and experiment.method.removes else {},
        doubts=(doubt,) if doubt else (),
    )


def _parts(dataset: Dataset) -> dict[str, PartSummary]:
    found = {}
    for name, split in dataset.splits.items():
        if len(split):
            counts = torch.bincount(torch.as_tensor(split.labels), minlength=len(dataset.classes))
            found[str(name)] = PartSummary(len(split), len(dataset.classes), int(counts.min()), int(counts.max()))
    return found


def _uneven(dataset: Dataset) -> Iterator[str]:
    """Classes without samples, and imbalance."""
    for part, of in _parts(dataset).items():
        counts = torch.bincount(torch.as_tensor(dataset.splits[part].labels), minlength=len(dataset.classes))  # type: ignore[index]
        empty = [str(dataset.classes[i]) for i in (counts == 0).nonzero().flatten().tolist()]
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
    elif train.most >= UNEVEN * train.fewest > 0:
        yield "class weights: none; --class-weights balanced has all classes count alike in the loss"


def _weights(experiment: Experiment) -> str:
    """Where the weights come from."""
    origin, weights = experiment.origin, experiment.settings.weights
    if origin.kind == "none":
        return "fresh, from the seed"
    if origin.run is not None:
        return f"of run {origin.run.key}"
    return {"imagenet": "ImageNet's, as torchvision has them"}.get(origin.kind, f"of {weights}")


def _spared(model: nn.Module, request: Request, reached: set[str]) -> dict[str, str]:
    """Conv and linear layers of which nothing can be removed, and why."""
    kinds = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
    layers = [name for name, module in model.named_modules() if isinstance(module, kinds)]
    why = {name: "--include and --exclude" for name in layers if not request.selects(name)}
    return {name: why.get(name, "nothing that it holds can be removed alone") for name in layers if name not in reached}
