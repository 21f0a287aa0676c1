"""The order of groups, and of the parts of one: that of a walk back from the output over autograd's graph.

What is drawn at random, and how sums are rounded, depends on it; what hangs together does not.
Source: the order is that of DepGraph's implementation (Fang et al. 2023).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks

from prunebench.models.input_spec import to
from prunebench.pruning.units.groups import Group, module_of
from prunebench.pruning.units.modes import preserved
from prunebench.pruning.units.record import call, tensors_of


def arranged(model: nn.Module, inputs: Any, groups: Sequence[Group]) -> tuple[Group, ...]:
    """Groups with their parts and modules in the order of a walk; as the model has its parameters where heads are
    among them, or autograd does not reach them."""
    if any(group.kind == "heads" for group in groups):
        return tuple(groups)
    makers = {part.parameter for group in groups for part in group.parts if not part.reads}
    mixing = {part.parameter for group in groups for part in group.parts if part.reads}
    mixing |= {name for name in makers if name in dict(model.named_parameters()) and _is_matrix(model, name)}
    walk = _Walk.of(model, inputs, mixing)
    found = {name: i for i, name in enumerate(walk.makers())}
    last = len(found)

    def first(group: Group) -> str:
        return min((part.parameter for part in group.parts if not part.reads), key=lambda name: found.get(name, last))

    ranked = sorted(groups, key=lambda group: found.get(first(group), last))
    return tuple(_arranged(group, walk.around(root)) if (root := first(group)) in found else group for group in ranked)


def _arranged(group: Group, places: dict[tuple[str, int], int]) -> Group:
    parts = sorted(group.parts, key=lambda part: places.get((part.parameter, part.dim), len(places)))
    makers = dict.fromkeys(module_of(part.parameter) for part in parts)
    return replace(group, parts=tuple(parts), modules=tuple(name for name in makers if name in group.modules))


def _is_matrix(model: nn.Module, name: str) -> bool:
    """Whether a parameter mixes channels; the filters of a depthwise convolution do not."""
    parameter = model.get_parameter(name)
    return parameter.ndim > 1 and parameter.shape[1] > 1


@dataclass(eq=False)
class _Node:
    """An operation: the parameters that it reads itself, and whether it mixes channels by one of them."""

    parameters: list[str] = field(default_factory=list)
    mixes: bool = False
    inputs: list[_Node] = field(default_factory=list)
    outputs: list[_Node] = field(default_factory=list)


class _Walk:
    def __init__(self, outputs: Iterable[torch.Tensor], names: dict[torch.Tensor, str], mixing: set[str]) -> None:
        self._names, self._mixing = names, mixing
        self._nodes: dict[Any, _Node] = {}
        seen: set[Any] = set()
        for output in outputs:
            stack = [output.grad_fn] if output.grad_fn is not None else []
            while stack:
                function = stack.pop()
                if function in seen:
                    continue
                seen.add(function)
                node = self._node(function)
                for before, _ in function.next_functions:
                    if before is None or self._reads(before):
                        continue
                    node.inputs.append(other := self._node(before))
                    other.outputs.append(node)
                    stack.append(before)

    @staticmethod
    def of(model: nn.Module, inputs: Any, mixing: set[str]) -> _Walk:
        names: dict[torch.Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
        frozen = [parameter for parameter in names if not parameter.requires_grad]
        device = next((parameter.device for parameter in names), None)
        try:
            for parameter in frozen:
                parameter.requires_grad_(True)
            nothing = saved_tensors_hooks(lambda _: None, lambda _: torch.empty(0))  # of the graph its edges will do
            with preserved(model), torch.enable_grad(), nothing:
                return _Walk(tensors_of(call(model.eval(), to(inputs, device=device))), names, mixing)
        finally:
            for parameter in frozen:
                parameter.requires_grad_(False)

    def makers(self) -> list[str]:
        """Parameters that mix channels, in the order in which the walk finds them."""
        read = (name for node in self._nodes.values() for name in node.parameters if name in self._mixing)
        return list(dict.fromkeys(read))

    def around(self, maker: str) -> dict[tuple[str, int], int]:
        """The places of the dimensions of parameters that are found along the channels which a parameter makes."""
        start = next(node for node in self._nodes.values() if maker in node.parameters)
        found = {(start, True): None}
        stack, visited = [(start, True)], set()
        while stack:
            node, makes = stack.pop()
            visited.add(node)
            near = [] if node.mixes and makes else [(other, True) for other in node.inputs]
            near += [(other, not other.mixes) for other in node.outputs] if makes or not node.mixes else []
            for each in near:
                if each[0] not in visited or each not in found:
                    found.setdefault(each)
                    stack.append(each)
        parts: dict[tuple[str, int], int] = {}
        for node, makes in found:
            for name in node.parameters:
                if makes or name in self._mixing:
                    parts.setdefault((name, 0 if makes else 1), len(parts))
        return parts

    def _node(self, function: Any) -> _Node:
        if function not in self._nodes:
            befores = [before for before, _ in function.next_functions if before is not None]
            read = [name for before in befores for name in self._reads(before)]
            self._nodes[function] = _Node(read, any(name in self._mixing for name in read))
        return self._nodes[function]

    def _reads(self, function: Any) -> list[str]:
        """The parameter that a function hands on, as it is or transposed."""
        while function.name() in ("TBackward0", "TransposeBackward0") and function.next_functions[0][0] is not None:
            function = function.next_functions[0][0]
        variable = getattr(function, "variable", None)
        return [self._names[variable]] if variable is not None and variable in self._names else []
