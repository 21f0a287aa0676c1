"""What tells of the units of a group: matrices with a row per unit."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from prunebench.errors import ConfigError
from prunebench.pruning.evidence import Evidence, untold
from prunebench.pruning.units.groups import Group, Part, module_of


def of_group(name: str, model: nn.Module, group: Group, evidence: Evidence) -> torch.Tensor:
    """What is called `name` among `BY_UNITS`, of shape (units, values).

    Raises:
        ConfigError: no batch norm scales these units.
    """
    wide = [part for part in group.parts if _ndim(model, part) > 1]
    values = {part.parameter: model.get_parameter(part.parameter).detach() for part in wide}
    if name in ("gradients", "input_norms"):
        told = evidence["gradient" if name == "gradients" else "input_norm"]
        return torch.cat([rows([part], _there(part.parameter, told), group.units) for part in wide], 1)
    if name == "filters":
        makers = [part for part in wide if not part.reads]  # where none only makes, as depthwise, all that is there
        return rows(makers or wide, values, group.units)
    if name == "activations":
        readers = [part for part in wide if part.reads]
        found = [rows([part], _there(part.parameter, evidence["input_size"]), group.units) for part in readers]
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
    scaling = [
        part
        for part in group.parts
        if part.parameter.rpartition(".")[2] == "weight"
        and isinstance(model.get_submodule(module_of(part.parameter)), nn.modules.batchnorm._NormBase)
    ]
    if not scaling:
        raise ConfigError(
            f"The criterion asks for the scales of batch norms, and none scales what {', '.join(group.modules[:3])} "
            f"makes: --exclude '{group.modules[0]}', or give another criterion."
        )
    return rows(
        scaling, {part.parameter: model.get_parameter(part.parameter).detach() for part in scaling}, group.units
    )


def _there(name: str, values: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
    """Evidence, where it tells of a parameter.

    Raises:
        ConfigError: it does not.
    """
    if name not in values:
        raise ConfigError(untold(name))
    return values


def _ndim(model: nn.Module, part: Part) -> int:
    found = dict(model.named_parameters()).get(part.parameter)
    return 0 if found is None else found.ndim
