"""Finding units: from a model and example inputs to groups of what can only be removed together."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn

from prunebench.pruning.units import recurrent
from prunebench.pruning.units.analysis import Roles, analysis
from prunebench.pruning.units.experts import find_experts
from prunebench.pruning.units.groups import Group, Spared, Units, form
from prunebench.pruning.units.makers import follow_makers
from prunebench.pruning.units.modes import recordings
from prunebench.pruning.units.nodes import Links
from prunebench.pruning.units.others import follow_others
from prunebench.pruning.units.pace import Pace, quiet
from prunebench.pruning.units.reshapes import reshapes
from prunebench.pruning.units.weights import bar_unknown, place_weights


def find(
    model: nn.Module,
    inputs: Any,
    *,
    through_norms: bool = False,
    known: frozenset[str] = frozenset(),
    pace: Pace = quiet,
) -> Units:
    """Find the units of a model; it is left as it was.

    What comes from the model's input itself, and what leaves the model, is never removed.

    Args:
        inputs: a tensor, a tuple of arguments or a dict of keyword arguments, on which the model runs; one sample does.
        through_norms: let a norm over channels pass each channel alone, which is not exact.
        known: first layers of groups that the model had before it was pruned; they stay groups with one unit left.

    Raises:
        ModelError: the model does not run on the inputs.
    """
    started = time.perf_counter()
    links, roles = Links(), Roles()
    graphs, passes = recordings(model, inputs)
    analyses = []
    for number, graph in enumerate(graphs):
        at = analysis(model, graph, number=number, links=links, roles=roles, through_norms=through_norms)
        place_weights(at, model)
        bar_unknown(at)
        follow_makers(at, pace)
        follow_others(at)
        analyses.append(at)
    recurrent.tie(model, links)
    _bar_scripted(model, links)
    order = [name for name, _ in [*model.named_parameters(), *model.named_buffers()]]
    groups, spared = form(links, roles, order, known)
    if experts := find_experts(model, inputs):
        groups, spared, passes = (*groups, *experts), _without(spared, experts), passes + 1
    return Units(groups, spared, passes, time.perf_counter() - started, partial(reshapes, analyses))


def _without(spared: tuple[Spared, ...], groups: list[Group]) -> tuple[Spared, ...]:
    """What is spared beside the layers of some groups."""
    theirs = {module for group in groups for module in group.modules}
    left = (replace(each, modules=tuple(name for name in each.modules if name not in theirs)) for each in spared)
    return tuple(each for each in left if each.modules)


def _bar_scripted(model: nn.Module, links: Links) -> None:
    """The sizes of what TorchScript holds cannot change."""
    scripted = {
        id(tensor)
        for module in model.modules()
        if isinstance(module, torch.jit.ScriptModule)
        for tensor in [*module.parameters(), *module.buffers()]
    }
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        for dim in range(tensor.ndim):
            if id(tensor) in scripted and (key := ("leaf", name, dim)) in links.bases:
                links.bar(links.nodes(key, tensor.shape[dim]), "it is scripted")
