"""Graph: the operations of one forward pass, as torch dispatches them, and the tensors between them.

Recording below autograd sees what no hook on modules does: functional calls, raw parameters, weights that are computed.
What Python decides (loops, branches, assertions) has been decided, so that following data needs no more of the model.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_unflatten
from torch.utils.weak import WeakTensorKeyDictionary

from prunebench.models.reshaping import asked, dimensions
from prunebench.pruning.units.grouped import grouped, is_grouped


@dataclass(frozen=True)
class Ref:
    """Stands for a tensor among the arguments of an operation."""

    tensor: int


@dataclass
class Info:
    """What is kept of a tensor: its layout, what made it, and its values where they can be indices."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    storage: int
    dtype: torch.dtype
    born: int
    value: torch.Tensor | None = None

    @property
    def is_float(self) -> bool:
        """Whether it can hold NaN."""
        return self.dtype.is_floating_point or self.dtype.is_complex


@dataclass(frozen=True)
class Node:
    """One operation: its arguments with a Ref for each tensor; `inputs` and `outputs` are numbers of tensors."""

    index: int
    func: Any
    flat: list[Any]
    spec: Any
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    is_tuple: bool

    @property
    def name(self) -> str:
        """`add_` of `aten.add_.Tensor`."""
        return str(self.func.overloadpacket.__name__)

    @property
    def written(self) -> int | None:
        """The tensor that it changes in place."""
        if self.func._schema.is_mutable and torch.Tag.inplace_view not in self.func.tags:
            for value, argument in zip(self.flat, self.func._schema.arguments, strict=False):
                if isinstance(value, Ref) and argument.alias_info is not None and argument.alias_info.is_write:
                    return value.tensor
        return None

    def arguments(self, fill: Callable[[int], Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Positional and keyword arguments, each tensor filled in."""
        flat = [fill(value.tensor) if isinstance(value, Ref) else value for value in self.flat]
        args, kwargs = tree_unflatten(flat, self.spec)
        return args, kwargs


@dataclass(frozen=True)
class Call:
    """A call in a module's forward that asks for sizes: the `number`-th of one pass through it, from 0.

    Attributes:
        module: the innermost one.
        sizes: that it asks for.
        first: the dimension of the output that the first size is of.
        dim: the dimension that it splits, if it does.
        outputs: numbers of tensors, −1 for what is not among them.
    """

    module: str
    number: int
    sizes: tuple[int, ...]
    first: int
    dim: int | None
    outputs: tuple[int, ...]


@dataclass
class Graph:
    """A forward pass. `leaves` are parameters and buffers by name, tied ones under their first name.

    `calls` ask for sizes; `forwards` tells how many of them there are in one pass through a module, 0 where that
    differs from pass to pass. `fixed` are the tensors that come from leaves alone, once that is known.
    """

    nodes: list[Node] = field(default_factory=list)
    infos: list[Info] = field(default_factory=list)
    leaves: dict[str, int] = field(default_factory=dict)
    inputs: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    users: list[list[int]] = field(default_factory=list)
    aliases: dict[int, list[int]] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    forwards: dict[str, int] = field(default_factory=dict)
    fixed: set[int] = field(default_factory=set)

    def signature(self) -> list[tuple[str, tuple[tuple[int, ...], ...]]]:
        """What ran, to tell whether two passes are the same."""
        return [(str(node.func), tuple(self.infos[t].shape for t in node.outputs)) for node in self.nodes]


class _Calls(TorchFunctionMode):
    """Keeps the calls that ask for sizes, by the module in whose forward they are."""

    def __init__(self, graph: Graph, number: Callable[[torch.Tensor], int]) -> None:
        super().__init__()
        self.graph, self.number = graph, number
        self.inside: list[tuple[str, int]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        sizes = asked(func, args, kwargs or {})
        if sizes is not None and self.inside:
            module, number = self.inside[-1]
            found = out if isinstance(out, (tuple, list)) else (out,)
            outputs = tuple(self.number(each) if isinstance(each, torch.Tensor) else -1 for each in found)
            self.graph.calls.append(Call(module, number, sizes, *dimensions(func, args, kwargs or {}), outputs))
            self.inside = [(path, count + 1) for path, count in self.inside]
        return out

    def enter(self, path: str) -> None:
        self.inside.append((path, 0))

    def leave(self) -> None:
        path, count = self.inside.pop()
        self.graph.forwards[path] = count if self.graph.forwards.get(path, count) == count else 0


@contextlib.contextmanager
def _inside(model: nn.Module, calls: _Calls) -> Iterator[None]:
    """Within, it is known which module's forward runs."""
    hooks = []
    for path, module in model.named_modules():
        if not isinstance(module, torch.jit.ScriptModule):
            hooks.append(module.register_forward_pre_hook(lambda _, __, path=path: calls.enter(path)))
            hooks.append(module.register_forward_hook(lambda *_: calls.leave(), always_call=True))
    try:
        with calls:
            yield
    finally:
        for hook in hooks:
            hook.remove()


class _Recorder(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.graph = Graph()
        self._known: Any = WeakTensorKeyDictionary()
        self._storages: dict[StorageWeakRef, int] = {}

    def known(self, tensor: torch.Tensor) -> int:
        """The number of a tensor, −1 if it has none."""
        found: int = self._known.get(tensor, -1)
        return found

    def number(self, tensor: torch.Tensor) -> int:
        known: int | None = self._known.get(tensor)
        if known is not None:
            return known
        graph, number = self.graph, len(self.graph.infos)
        try:
            storage = self._storages.setdefault(StorageWeakRef(tensor.untyped_storage()), len(self._storages))
            stride, offset = tuple(tensor.stride()), int(tensor.storage_offset())
        except (RuntimeError, NotImplementedError):  # sparse, quantised …: no storage of the usual kind
            storage, stride, offset = -1 - number, (), 0
        is_float = tensor.is_floating_point() or tensor.is_complex()
        value = None if is_float else tensor
        graph.infos.append(Info(tuple(tensor.shape), stride, offset, storage, tensor.dtype, len(graph.nodes), value))
        graph.users.append([])
        graph.aliases.setdefault(storage, []).append(number)
        self._known[tensor] = number
        return number

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if is_grouped(func, args):
            with self:
                return grouped(*args, **kwargs)
        out = func(*args, **kwargs)
        flat, spec = tree_flatten((args, kwargs))
        inputs = [self.number(value) for value in flat if isinstance(value, torch.Tensor)]
        values = iter(inputs)
        if torch.Tag.inplace_view in func.tags:
            self._known.pop(args[0])  # it has another shape from now on
        flat = [Ref(next(values)) if isinstance(value, torch.Tensor) else value for value in flat]
        outputs = [self.number(value) for value in tree_flatten(out)[0] if isinstance(value, torch.Tensor)]
        index = len(self.graph.nodes)
        self.graph.nodes.append(
            Node(index, func, flat, spec, tuple(inputs), tuple(outputs), isinstance(out, (tuple, list)))
        )
        for tensor in dict.fromkeys(inputs):
            self.graph.users[tensor].append(index)
        return out


def record(model: nn.Module, inputs: Any) -> Graph:
    """Run the model once, as it is, and keep what it did.

    Args:
        inputs: a tensor, a tuple of arguments, or a dict of keyword arguments.
    """
    recorder = _Recorder()
    graph = recorder.graph
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        graph.leaves[name] = recorder.number(tensor)
    given = [value for value in tree_flatten(inputs)[0] if isinstance(value, torch.Tensor)]
    graph.inputs = [recorder.number(value) for value in given]
    calls = _Calls(graph, recorder.known)
    with unfused(model), torch.no_grad(), recorder, _inside(model, calls):
        out = call(model, inputs)
    graph.outputs = [recorder.number(tensor) for tensor in tensors_of(out)]
    used = {tensor for node in graph.nodes for tensor in node.inputs}
    for number, info in enumerate(graph.infos):
        info.value = info.value.detach().clone() if info.value is not None and number in used else None
    return graph


def call(model: nn.Module, inputs: Any) -> Any:
    """The model's output, whatever it is."""
    if isinstance(inputs, dict):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, tuple) else model(inputs)


def tensors_of(out: Any) -> list[torch.Tensor]:
    """All tensors of an output, in whatever they are packed, each once; no cache of keys and values."""
    found: dict[int, torch.Tensor] = {}
    seen: set[int] = set()

    def visit(value: Any, depth: int) -> None:
        if isinstance(value, torch.Tensor):
            found.setdefault(id(value), value)
            return
        if id(value) in seen or depth > 8 or isinstance(value, (str, bytes, int, float, nn.Module)):
            return
        seen.add(id(value))
        if type(value).__name__.endswith("Cache"):
            return  # keys and values for the next token
        if isinstance(value, dict):
            parts = list(value.values())
        elif isinstance(value, (list, tuple, set)):
            parts = list(value)
        else:
            parts = list(getattr(value, "__dict__", {}).values())
        for part in parts:
            visit(part, depth + 1)

    visit(out, 0)
    return list(found.values())


@contextlib.contextmanager
def unfused(model: nn.Module) -> Iterator[None]:
    """Attention, encoder layers and recurrent layers run as the operations that they are made of."""
    fast = torch.backends.mha.get_fastpath_enabled()
    fused = torch._C._get_mkldnn_enabled()
    recurrent = any(isinstance(module, nn.RNNBase) for module in model.modules())
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        torch._C._set_mkldnn_enabled(fused and not recurrent)
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch._C._set_mkldnn_enabled(fused)
        torch.backends.mha.set_fastpath_enabled(fast)
