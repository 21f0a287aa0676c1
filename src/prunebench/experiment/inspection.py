"""What of a model can be pruned, proved with random weights: neither data nor training is needed."""

from __future__ import annotations

import dataclasses
from functools import partial

from prunebench.config import RunConfig
from prunebench.errors import ConfigError
from prunebench.experiment.of_folder import prepare
from prunebench.experiment.resolve import resolve
from prunebench.experiment.summary import proof_of, spared_layers
from prunebench.models.architecture import Architecture, asks_for, given_arguments
from prunebench.models.costs import params
from prunebench.models.input_spec import InputSpec, output_of
from prunebench.models.layers import layer_records
from prunebench.models.macs import total, uses
from prunebench.models.taken_over import copied
from prunebench.pruning.methods import structured
from prunebench.pruning.multiplied import find_weights
from prunebench.pruning.requests import request_of
from prunebench.pruning.units.pace import Pace, quiet
from prunebench.pruning.units.removable import find_removable
from prunebench.records import GroupRecord, Inspection
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
    settings, entry = experiment.settings, experiment.model
    if not experiment.method.narrows:
        raise ConfigError("inspect looks at units, which structured pruning removes; leave out --method.")
    shape = prepare(experiment, entry.folder, None).config if entry.folder else {}
    if entry.reads == "text":
        tokens = shape.get("vocab_size", VOCABULARY)
        inputs = InputSpec(kind="text", vocabulary=tokens, length=settings.sequence_length)
    else:
        inputs = InputSpec(kind="images", size=settings.image_size)
    text = {"vocab_size": inputs.vocabulary} if inputs.kind == "text" else {}
    arguments = {
        "classes": classes,
        "channels": inputs.channels,
        "image_size": inputs.size,
        "adapt": True,
        "config": {**shape, **text},
        **(text if asks_for(entry, "vocab_size") else {}),
        "given": given_arguments(settings.model_arg),
    }
    seed_all(settings.seed, "init")
    build = partial(Architecture(reference(settings.model), arguments, inputs, settings.output).build, entry)
    model = build().eval()
    more = {"criterion": experiment.ranking, "seed": settings.seed}
    request = request_of(settings, experiment.method, inputs, entry.keeps, **more)
    through = request.through_norms
    found = find_removable(model, inputs, (request.share(),), through_norms=through, pace=pace, build=build)
    weights = find_weights(model, inputs)
    request = dataclasses.replace(request, removable=found, weights=weights)
    groups = structured.groups_of(model, request) if found.groups else []
    reached = structured.reached(model, request) if groups else []
    multiplied, layers = uses(model, inputs), layer_records(model, {}, (), {}, weights.names)
    pruned = copied(model)
    if groups:
        structured.prune(pruned, {}, request)
    output_of(pruned, inputs.example())
    return Inspection(
        model=reference(settings.model),
        inputs=inputs.text(),
        params=params(model),
        macs=total(multiplied),
        reached_params=sum(model.get_parameter(name).numel() for name in reached),
        reached_macs=sum(count for names, count in multiplied.items() if not names.isdisjoint(reached)),
        groups=tuple(GroupRecord(each.name, structured.kind_of(each), each.units, each.modules) for each in groups),
        spared=spared_layers(model, request, {name for group in groups for name in group.modules}),
        proof=proof_of(found),
        fraction=settings.fraction,
        params_after=params(pruned),
        macs_after=total(uses(pruned, inputs)),
        layers=layer_records(pruned, {}, layers, {}, weights.names),
        seconds=found.seconds,
    )
