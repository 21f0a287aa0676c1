"""What tells of the units of a group: matrices with a row per unit."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import nn

from prunebench.errors import ConfigError
from prunebench.pruning.evidence import BY_UNITS, Evidence, untold
from prunebench.pruning.units.groups import Group, Part, module_of

ACTIVATIONS = ("activations", "activation_variances", "activation_zeros")
"""What the layers tell that read a unit, each of them."""


def of_group(name: str, model: nn.Module, group: Group, evidence: Evidence) -> torch.Tensor:
    """What is called `name` among `BY_UNITS`, of shape (units, values), of a group that `check_told` lets pass.

    Of `reader_errors` the evidence is what there is of the group, by its name.
    """
    if name == "reader_errors":
        return evidence[name][group.name]
    wide = [part for part in group.parts if _ndim(model, part) > 1]
    values = {part.parameter: model.get_parameter(part.parameter).detach() for part in wide}
    if name in ("gradients", "input_norms"):
        (kind,) = BY_UNITS[name]
        return torch.cat([rows([part], _there(part.parameter, kind, evidence, group), group.units) for part in wide], 1)
    if name == "filters":
        makers = [part for part in wide if not part.reads]  # where none only makes, as depthwise, all that is there
        return rows(makers or wide, values, group.units)
    if name in ACTIVATIONS:
        (kind,) = BY_UNITS[name]
        readers = [part for part in wide if part.reads]
        found = [rows([part], _there(part.parameter, kind, evidence, group), group.units) for part in readers]
        return torch.stack([each.mean(1) for each in found], 1)
    return _scales(model, group) if name == "scales" else rows(wide, values, group.units)


def rows(parts: list[Part], values: Mapping[str, torch.Tensor], units: int) -> torch.Tensor:
    """The values that stand at the positions of each unit, side by side: (units, values)."""
    found = []
    for part in parts:
        tensor = values[part.parameter]
        order = part.unit.argsort(stable=True)
        picked = tensor.index_select(part.dim, part.index[order].to(tensor.device))
        found.append(picked.movedim(part.dim, 0).reshape(units, -1))
    return torch.cat(found, 1)


def _scales(model: nn.Module, group: Group) -> torch.Tensor:
    """γ of the batch norms of the units."""
    scaling = _scaling(model, group)
    values = {part.parameter: model.get_parameter(part.parameter).detach() for part in scaling}
    return rows(scaling, values, group.units)


def _scaling(model: nn.Module, group: Group) -> list[Part]:
    return [
        part
        for part in group.parts
        if part.parameter.rpartition(".")[2] == "weight"
        and isinstance(model.get_submodule(module_of(part.parameter)), nn.modules.batchnorm._NormBase)
    ]


def check_told(names: Collection[str], model: nn.Module, groups: Sequence[Group], evidence: Evidence) -> None:
    """Raise ConfigError where what is asked for by these names tells nothing of some groups, which it names."""
    if "scales" in names and (bare := [group for group in groups if not _scaling(model, group)]):
        raise ConfigError(f"The criterion asks for the scales of batch norms, and none scales {_without(bare, groups)}")
    if "reader_errors" in names and (chosen := [group for group in groups if group.kind == "experts"]):
        why = "and without an expert others are chosen"
        raise ConfigError(
            f"The criterion asks for what readers lose without a unit, {why}, of {_without(chosen, groups)}"
        )
    if "activation_zeros" in names:
        full = [group for group in groups if not of_group("activation_zeros", model, group, evidence).any()]
        if full:
            where = "as behind GELU or a mean over positions"
            raise ConfigError(f"The criterion counts zeros, and there are none, {where}, in {_without(full, groups)}")


def _without(told_nothing: Sequence[Group], groups: Sequence[Group]) -> str:
    """What groups make, and what to do without them."""
    if len(told_nothing) == len(groups):
        return "what any layer makes that is pruned: give another criterion."
    excluding = " ".join(f"--exclude '{group.modules[0]}'" for group in told_nothing)
    makes = ", ".join(group.modules[0] for group in told_nothing)
    return f"what {makes} {'makes' if len(told_nothing) == 1 else 'make'}: {excluding}, or give another criterion."


def _there(name: str, kind: str, evidence: Evidence, group: Group) -> Mapping[str, torch.Tensor]:
    """Evidence of one kind, where it tells of a parameter.

    Raises:
        ConfigError: it does not.
    """
    if name not in evidence[kind]:
        raise ConfigError(untold(name, kind, group.modules[0]))
    return evidence[kind]


def _ndim(model: nn.Module, part: Part) -> int:
    found = dict(model.named_parameters()).get(part.parameter)
    return 0 if found is None else found.ndim
