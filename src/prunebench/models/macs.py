"""Multiply-accumulates of one sample, counted operator by operator, and which weights each of them multiplies.

Counted are matrix products, convolutions, attention however it is computed, recurrent and bilinear layers: what
PyTorch has formulas for (torch.utils.flop_counter), and what is missing there. Sums, norms, activations and look-ups
count as nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from math import prod
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry
from torch.utils.weak import WeakTensorKeyDictionary

from prunebench.models.input_spec import InputSpec, output_of, to
from prunebench.models.masks import Masks

Uses = Mapping[frozenset[str], int]
"""The parameters whose values are multiplied (none: values that depend on the sample alone) → multiply-accumulates."""

aten = torch.ops.aten

COUNTED_ATTENTION = ("eager", "sdpa")
"""Implementations of attention in transformers that are counted; models with others are counted with `eager`."""


def uses(model: nn.Module, inputs: InputSpec) -> Uses:
    """The multiply-accumulates of one sample by the parameters that they multiply; the model stays as it is.

    A parameter goes by its first name. What is computed of parameters alone, such as a normed weight, counts as these.
    """
    example = to(inputs.example(), device=next((parameter.device for parameter in model.parameters()), None))
    training = {module: module.training for module in model.modules()}
    counter = _Counter(model, example)
    try:
        with taken_apart(model), torch.no_grad(), counter:
            output_of(model.eval(), example)
    finally:
        for module, mode in training.items():
            module.training = mode
    return counter.found


def total(found: Uses) -> int:
    """All multiply-accumulates."""
    return sum(found.values())


def effective(found: Uses, masks: Masks) -> int:
    """The multiply-accumulates that are left where those of masked weights are skipped.

    The weights of one parameter are taken to be used as often as each other.
    """
    left = {name: (int(mask.count_nonzero()), mask.numel()) for name, mask in masks.items()}
    return sum(
        count * prod(left[name][0] for name in masked) // prod(left[name][1] for name in masked)
        for names, count in found.items()
        for masked in [names & left.keys()]
    )


# How


class Operators(TorchDispatchMode):
    """Shows `seen` every operator that runs within it; what is made of other operators is shown by its parts."""

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def seen(self, func: Any, args: Any, kwargs: Any, out: Any) -> None:
        """What is done with an operator that has run."""
        raise NotImplementedError

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        with self:
            if func is torch.ops.higher_order.cond:
                chosen, first, second, operands = args
                return (first if chosen else second)(*operands)
            if isinstance(func, torch._ops.OpOverload):
                parts = func.decompose(*args, **kwargs)
                if parts is not NotImplemented:
                    return parts
        out = func(*args, **kwargs)
        self.seen(func, args, kwargs, out)
        return out


class _Counter(Operators):
    """Counts what operators multiply, and follows parameters through what is computed of them alone."""

    def __init__(self, model: nn.Module, example: Any) -> None:
        super().__init__()
        self.found: dict[frozenset[str], int] = {}
        self._names = WeakTensorKeyDictionary()  # of tensors computed of parameters; None for those of the sample
        for name, parameter in model.named_parameters():
            self._names[parameter] = frozenset([name])
        for tensor in tensors_in(example):
            self._names[tensor] = None

    def seen(self, func: Any, args: Any, kwargs: Any, out: Any) -> None:
        given = [self._names[tensor] for tensor in tensors_in((args, kwargs)) if tensor in self._names]
        if given:
            names = None if None in given else frozenset[str]().union(*given)
            self._names.update(dict.fromkeys(tensors_in(out), names))
        for multiplied, count in factors(func, out, args, kwargs):
            of = [self._names.get(tensor) for tensor in multiplied]
            key = frozenset[str]().union(*(names for names in of if names))
            self.found[key] = self.found.get(key, 0) + count


def factors(func: Any, out: Any, args: Any, kwargs: Any) -> Iterator[tuple[list[torch.Tensor], int]]:
    """What an operator multiplies, and how often; of a recurrent layer as one operator its weights alone."""
    func = getattr(func, "_overloadpacket", func)
    if func in _RECURRENT:
        yield from _RECURRENT[func](*args)
    elif (formula := _formula(func)) is not None:
        first = 1 if func in _ADDING else 0  # what is added comes first
        multiplied = args[first : first + (3 if func is aten._trilinear else 2)]
        yield list(multiplied), formula(*args, **kwargs, out_val=out) // 2


def _formula(func: Any) -> Callable[..., int] | None:
    """Twice the multiply-accumulates of an operator; None where it has none."""
    if getattr(func, "__name__", "").startswith("_scaled_dot_product_"):  # every device has its own
        return _attention
    found: Callable[..., int] | None = _MISSING.get(func) or flop_registry.get(func)
    return found


def _attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *args: Any, **kwargs: Any) -> int:
    """Scores, and what they weigh; heads of the query may share those of key and value, and a mask saves nothing."""
    scores = prod(query.shape[:-1]) * key.shape[-2]
    return 2 * scores * (query.shape[-1] + value.shape[-1])


def _vector(first: torch.Tensor, second: torch.Tensor, **kwargs: Any) -> int:
    return 2 * first.numel()


def _trilinear(*args: Any, **kwargs: Any) -> int:
    """Every product of three values counts once, as it is summed once."""
    shapes = []
    for factor, expand in zip(args[:3], args[3:6], strict=True):
        shape = list(factor.shape)
        for dim in expand:
            shape.insert(dim, 1)
        shapes.append(shape)
    found: int = 2 * prod(torch.broadcast_shapes(*shapes))
    return found


def _grouped(first: torch.Tensor, second: torch.Tensor, *args: Any, **kwargs: Any) -> int:
    """A product per group, such as those of experts; one side may be cut into groups along its rows or columns."""
    rows = first.shape[-2] if second.ndim == 2 else prod(first.shape[:-1])
    return 2 * rows * prod(second.shape[-2:])


_ADDING = {aten.addmm, aten.addmv, aten.addbmm, aten.baddbmm}

_MISSING: dict[Any, Callable[..., int]] = {
    aten.mv: _vector,
    aten.dot: _vector,
    aten.vdot: _vector,
    aten.addmv: lambda added, first, second, **_: _vector(first, second),
    aten.addbmm: lambda added, first, second, **_: 2 * first.numel() * second.shape[-1],
    aten._trilinear: _trilinear,
    aten._grouped_mm: _grouped,
}


def _mkldnn_layer(given: torch.Tensor, *rest: Any) -> Iterator[tuple[list[torch.Tensor], int]]:
    steps = given.shape[0] * given.shape[1]
    for weight in rest[:2]:
        yield [weight], steps * weight.numel()


def _cudnn(given: torch.Tensor, weights: list[torch.Tensor], *rest: Any) -> Iterator[tuple[list[torch.Tensor], int]]:
    steps = given.shape[0] * (given.shape[1] if given.ndim == 3 else 1)  # packed sequences have one dimension less
    for weight in weights:
        if weight.ndim > 1:
            yield [weight], steps * weight.numel()


_RECURRENT: dict[Any, Callable[..., Iterator[tuple[list[torch.Tensor], int]]]] = {
    aten.mkldnn_rnn_layer: _mkldnn_layer,
    aten._cudnn_rnn: _cudnn,
    aten.miopen_rnn: _cudnn,
}
"""Recurrent layers as one operator: every weight is multiplied once a step. Elsewhere they are matrix products."""


@contextmanager
def taken_apart(model: nn.Module) -> Iterator[None]:
    """Within it, attention is not hidden in kernels that are not counted."""
    fast = torch.backends.mha.get_fastpath_enabled()
    with ExitStack() as stack:
        stack.callback(torch.backends.mha.set_fastpath_enabled, fast)
        torch.backends.mha.set_fastpath_enabled(False)
        parts: list[Any] = list(model.modules())
        for module in parts:
            name = getattr(getattr(module, "config", None), "_attn_implementation", None)
            if name is not None and name not in COUNTED_ATTENTION and hasattr(module, "set_attn_implementation"):
                stack.callback(module.set_attn_implementation, name)
                module.set_attn_implementation("eager")
        stack.enter_context(torch.compiler.set_stance("force_eager"))
        yield


def tensors_in(tree: Any) -> list[torch.Tensor]:
    """The tensors in whatever they are packed."""
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]
