"""What can be removed of a model, proved; and what is left of it after steps of pruning."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from prunebench.errors import ConfigError
from prunebench.models.input_spec import InputSpec, output_of, to
from prunebench.models.sizes import tensors_of
from prunebench.pruning.units.find import find
from prunebench.pruning.units.groups import Group, Spared, Units
from prunebench.pruning.units.modes import preserved
from prunebench.pruning.units.order import arranged
from prunebench.pruning.units.pace import Pace, patient, quiet
from prunebench.pruning.units.proof import check, prove
from prunebench.pruning.units.removal import Doomed, Follows, Share, remove
from prunebench.pruning.units.reshapes import Reshape

Shapes = dict[str, tuple[int, ...]]

_left: WeakKeyDictionary[nn.Module, tuple[Shapes, tuple[Group, ...]]] = WeakKeyDictionary()
"""Groups of the models that were pruned by this process, with the shapes that they were told for: steps shrink them."""


@dataclass(frozen=True)
class Removable:
    """What can be removed of a model, and what is spared.

    Attributes:
        groups: of units whose removal was proved exact on this very model.
        spared: layers of which nothing can be removed, and why.
        bindings: attributes that follow when units go, beside those of known layers.
        shapes: of the parameters of the model that was looked at.
        largest: the largest relative difference between pruned and masked that the proof of the first share saw, which
            does not depend on how many steps are asked for.
        problem: what went wrong with all groups together; empty where nothing did.
        through_norms: units are among the groups that norms average over.
    """

    groups: tuple[Group, ...]
    spared: tuple[Spared, ...]
    bindings: tuple[Follows, ...]
    shapes: Shapes
    largest: float
    seconds: float
    problem: str = ""
    through_norms: bool = False


def find_removable(
    model: nn.Module,
    inputs: InputSpec,
    shares: Sequence[Share] = (0.3,),
    *,
    through_norms: bool = False,
    pace: Pace = quiet,
    build: Callable[[], nn.Module] | None = None,
) -> Removable:
    """Find the units of a model, and prove that they can be removed.

    Args:
        inputs: what it reads.
        shares: of each group's units, that are removed at once in the proof, one share after the other.
        through_norms: whether channels may go that norms average over.
        pace: told how far it is, where it takes more than two seconds.
        build: builds the model anew, to see that what is left of it comes back; else a copy stands for that.
    """
    pace = patient(pace)
    units = _units(model, inputs, through_norms=through_norms, pace=pace)
    spared, largest, seconds, problem = list(units.spared), 0.0, units.seconds, ""
    bindings: tuple[Follows, ...] = ()
    for share in dict.fromkeys(shares):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sizes that are not told yet
            proof = prove(model, inputs.example(), units, fraction=share, pace=pace, build=build)
            if proof.problem and any(isinstance(binding, Reshape) for binding in proof.bindings):
                # in its first pass it asks for other sizes, as one may that keeps something
                units = replace(units, reshapes=lambda group: ())
                proof = prove(model, inputs.example(), units, fraction=share, pace=pace, build=build)
        units = replace(units, groups=proof.groups)
        spared += proof.spared
        bindings, problem = proof.bindings, problem or proof.problem
        largest, seconds = largest or proof.largest, seconds + proof.seconds
    return Removable(
        units.groups, tuple(spared), bindings, _shapes(model), largest, seconds, problem, through_norms=through_norms
    )


def left_of(model: nn.Module, inputs: InputSpec, found: Removable) -> tuple[Group, ...]:
    """What is left of the groups that were proved, of a model that may have been pruned since."""
    shapes = _shapes(model)
    known = _left.get(model)
    if known is not None and known[0] == shapes:
        return known[1]
    if shapes == found.shapes:
        groups = found.groups
    else:
        first = frozenset(group.modules[0] for group in found.groups) | frozenset(group.name for group in found.groups)
        there = {group.name: group for group in _units(model, inputs, first, through_norms=found.through_norms).groups}
        each = (_same(there.get(group.name), group) or _last(model, group) for group in found.groups)
        groups = tuple(group for group in each if group is not None)
    _left[model] = shapes, groups
    return groups


def _same(found: Group | None, group: Group) -> Group | None:
    """A group that was found anew, if its units are built as they were: of a single one nothing may tell what it is."""
    builds = [{(p.parameter, p.dim, len(p.index) // each.units) for p in each.parts} for each in (found, group) if each]
    return found if found is not None and builds[0] == builds[1] else None


def _last(model: nn.Module, group: Group) -> Group | None:
    """A group of which one unit is left, that fills what it stands in: what has one place alone is not followed."""
    sizes, parts = tensors_of(model), []
    for part in group.parts:
        size = sizes[part.parameter].shape[part.dim]
        if size != len(part.index) // group.units:
            return None
        parts.append(replace(part, index=torch.arange(size), unit=torch.zeros(size, dtype=torch.int64)))
    return replace(group, units=1, parts=tuple(parts))


def take(model: nn.Module, inputs: InputSpec, found: Removable, doomed: Doomed) -> None:
    """Remove units of a model, in place, after the removal of just these was proved.

    Raises:
        ConfigError: it is not exact; the message names the layers.
    """
    groups = left_of(model, inputs, found)
    going = {group.name: group for group in groups if doomed.get(group.name)}

    def fault_of(units: Doomed) -> str | None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sizes that are not told yet
            return check(model, inputs.example(), groups, units, found.bindings) if units else None

    if fault := fault_of({name: doomed[name] for name in going}):
        alone = [group.modules[0] for name, group in going.items() if fault_of({name: doomed[name]})]
        named = alone or [group.modules[0] for group in going.values()]
        raise ConfigError(
            f"Removing these units would change more than they do ({fault}): {', '.join(named[:4])}. "
            f"Spare them: {' '.join(f'--exclude {name}' for name in named[:4])}."
        )
    left = remove(model, groups, doomed, found.bindings)
    _tell_norms(model, inputs)
    _left[model] = _shapes(model), left


def without(
    model: nn.Module, inputs: InputSpec, groups: Sequence[Group], found: Removable, doomed: Doomed
) -> nn.Module:
    """A model, in place, without some units of its groups, to count what it has; that this is exact is not proved."""
    remove(model, groups, doomed, found.bindings)
    _tell_norms(model, inputs)
    return model


def _tell_norms(model: nn.Module, inputs: InputSpec) -> None:
    """Tell norms that hold nothing how many channels they read: they compare it, and no parameter says it."""
    bare = [module for module in model.modules() if isinstance(module, nn.modules.instancenorm._InstanceNorm)]
    bare = [module for module in bare if module._parameters["weight"] is None and module.running_mean is None]

    def tell(module: Any, args: tuple[Any, ...]) -> None:
        module.num_features = args[0].shape[args[0].dim() - module._get_no_batch_dim()]

    hooks = [module.register_forward_pre_hook(tell) for module in bare]
    try:
        if hooks:
            device = next((parameter.device for parameter in model.parameters()), None)
            with preserved(model), torch.no_grad():
                output_of(model.eval(), to(inputs.example(), device=device))
    finally:
        for hook in hooks:
            hook.remove()


def _units(
    model: nn.Module,
    inputs: InputSpec,
    known: frozenset[str] = frozenset(),
    *,
    through_norms: bool = False,
    pace: Pace = quiet,
) -> Units:
    if any(tensor.device.type != "cpu" for tensor in model.parameters()):
        model = copy.deepcopy(model).cpu()
    units = find(model, inputs.example(), known=known, through_norms=through_norms, pace=pace)
    return replace(units, groups=arranged(model, inputs.example(), units.groups))


def _shapes(model: nn.Module) -> Shapes:
    return {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
