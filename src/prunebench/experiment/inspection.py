"""What of a model can be pruned, proved with random weights: neither data nor training is needed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial

from torch import nn

from prunebench.config import RunConfig
from prunebench.errors import ConfigError
from prunebench.experiment.experiment import Experiment
from prunebench.experiment.resolve import resolve
from prunebench.experiment.starts.folder import prepare
from prunebench.experiment.starts.start import architecture_of
from prunebench.experiment.summary import proof_of, spared_layers
from prunebench.models.architecture import Architecture
from prunebench.models.costs import params
from prunebench.models.input_spec import InputSpec, output_of
from prunebench.models.layers import layer_name, layer_records
from prunebench.models.macs import Uses, total, uses
from prunebench.models.taken_over import copied
from prunebench.pruning.blocks.find import Block
from prunebench.pruning.blocks.proof import find_removable_blocks
from prunebench.pruning.methods import depth, structured
from prunebench.pruning.multiplied import find_weights
from prunebench.pruning.registry import Method, Request
from prunebench.pruning.requests import request_of
from prunebench.pruning.units.pace import Pace, quiet
from prunebench.pruning.units.removable import find_removable
from prunebench.records import BlockRecord, GroupRecord, Inspection
from prunebench.registry import reference
from prunebench.seeding import seed_all

VOCABULARY = 1000
"""Tokens of a text model that is looked at without its data."""


def inspect(config: RunConfig, classes: int = 10, pace: Pace = quiet) -> Inspection:
    """Find what can be removed of a model, prove it, and remove a step's worth.

    Args:
        config: the model, its arguments and input size, what to prune of it, and the fraction of a step.
        classes: number of classes of the model.
        pace: told how far it is, where it takes more than two seconds.

    Raises:
        ConfigError: settings do not go together.
        ModelError: the model cannot be built, or does not run.
    """
    experiment = resolve(config)
    settings, entry, method = experiment.settings, experiment.model, experiment.method
    if not method.lowers_macs:
        raise ConfigError(
            f"inspect looks at units and blocks, and {method.name} pruning removes neither: leave out --method, or "
            f"give structured or depth."
        )
    about = _architecture(experiment, classes)
    inputs = about.inputs
    seed_all(settings.seed, "init")
    build = partial(about.build, entry)
    model = build().eval()
    weights = find_weights(model, inputs)
    more = {"criterion": experiment.ranking, "seed": settings.seed, "weights": weights}
    request = _found(method, model, request_of(settings, method, inputs, entry.keeps, **more), pace, build)
    proof, found = proof_of(request), request.removable or request.blocks
    assert proof is not None, "one of the two was looked for"
    assert found is not None
    groups = structured.groups_of(model, request) if proof.groups else []
    blocks = depth.left_of(model, request) if proof.blocks else []
    reached = method.reached(model, request) if groups or blocks else []
    multiplied, layers = uses(model, inputs), layer_records(model, {}, (), {}, weights.names)
    pruned = copied(model)
    if groups or blocks:
        method.prune(pruned, {}, request)
    output_of(pruned, inputs.example())
    gone = {name for group in groups for name in group.modules} | {layer_name(name) for name in reached if blocks}
    return Inspection(
        model=reference(settings.model),
        inputs=inputs.text(),
        params=params(model),
        macs=total(multiplied),
        reached_params=sum(model.get_parameter(name).numel() for name in reached),
        reached_macs=sum(count for names, count in multiplied.items() if not names.isdisjoint(reached)),
        groups=tuple(GroupRecord(each.name, structured.kind_of(each), each.units, each.modules) for each in groups),
        spared=spared_layers(model, request, gone),
        proof=proof,
        fraction=settings.fraction,
        params_after=params(pruned),
        macs_after=total(uses(pruned, inputs)),
        layers=layer_records(pruned, {}, layers, {}, weights.names),
        seconds=found.seconds,
        blocks=tuple(_told(model, block, multiplied) for block in blocks),
    )


def _architecture(experiment: Experiment, classes: int) -> Architecture:
    """The model as data, with inputs of the size that the settings say."""
    settings, entry = experiment.settings, experiment.model
    shape = prepare(experiment, entry.folder, None).config if entry.folder else {}
    if entry.reads == "text":
        tokens = shape.get("vocab_size", VOCABULARY)
        inputs = InputSpec(kind="text", vocabulary=tokens, length=settings.sequence_length)
    else:
        inputs = InputSpec(kind="images", size=settings.image_size)
    return architecture_of(experiment, inputs, {"classes": classes}, adapt=True, shape=shape)


def _found(method: Method, model: nn.Module, request: Request, pace: Pace, build: Callable[[], nn.Module]) -> Request:
    """The request with what can be removed by the method."""
    inputs, share, through = request.inputs, request.share(), request.through_norms
    if method.shortens:
        return dataclasses.replace(request, blocks=find_removable_blocks(model, inputs, pace=pace, build=build))
    found = find_removable(model, inputs, (share,), through_norms=through, pace=pace, build=build)
    return dataclasses.replace(request, removable=found)


def _told(model: nn.Module, block: Block, multiplied: Uses) -> BlockRecord:
    module = model.get_submodule(block.name)
    own = {f"{block.name}.{name}" for name, _ in module.named_parameters()}
    macs = sum(count for names, count in multiplied.items() if not names.isdisjoint(own))
    return BlockRecord(block.name, block.kind, params(module), macs, block.exact)
