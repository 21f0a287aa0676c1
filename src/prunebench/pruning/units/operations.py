"""Rules: how words pass operations without weights, as NaN would if it went through them.

Element by element what any operand holds; along what is summed, normalised or sorted, all of it; the rest moves.
An operation without a rule is run with NaN, once per lane; where NaN cannot tell (integers), everything reaches all.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from prunebench.pruning.units.record import Graph, Info, Node, Ref
from prunebench.pruning.units.words import LANES, compact, gathered, union

Words = torch.Tensor | None


@dataclass
class Visit:
    """One operation that words have reached; `words` are those of its tainted inputs.

    Attributes:
        through_norms: a norm over channels passes each channel alone.
        carriers: filled with (tensor, dimension, word per index) of what stands beside the data, channel by channel.
    """

    graph: Graph
    node: Node
    words: dict[int, torch.Tensor]
    through_norms: bool = False
    carriers: list[tuple[int, int, torch.Tensor]] = field(default_factory=list)

    def shape(self, output: int = 0) -> tuple[int, ...]:
        """Shape of an output."""
        return self.graph.infos[self.node.outputs[output]].shape

    def args(self) -> tuple[Any, ...]:
        """Positional arguments, tensors as Ref."""
        return self.node.arguments(Ref)[0]

    def argument(self, name: str) -> Any:
        """An argument by its name in the schema, or its default."""
        args, kwargs = self.node.arguments(Ref)
        for i, argument in enumerate(self.node.func._schema.arguments):
            if argument.name == name:
                return (
                    args[i] if i < len(args) and not argument.kwarg_only else kwargs.get(name, argument.default_value)
                )
        return None

    def of(self, value: Any) -> Words:
        """Words of an argument."""
        return self.words.get(value.tensor) if isinstance(value, Ref) else None

    def everywhere(self) -> torch.Tensor:
        """All that any input holds, as one word of shape ()."""
        return union([gathered(w).reshape(()) for w in self.words.values()], ())


Rule = Callable[[Visit], list[Words]]


def rule_of(node: Node) -> Rule:
    """The rule for an operation."""
    name = node.name.removesuffix("_")
    if name in RULES:
        return RULES[name]
    if node.func.is_view or torch.Tag.inplace_view in node.func.tags:
        return moved
    if torch.Tag.pointwise in node.func.tags or name in POINTWISE:
        return pointwise
    return by_nan


def passed(at: Visit) -> list[Words]:
    """Words of the outputs, by the rule; where it does not fit, everything reaches all."""
    try:
        found = rule_of(at.node)(at)
        shapes = [None if words is None else tuple(words.shape) for words in found]
        if all(shape in (None, at.shape(i)) for i, shape in enumerate(shapes)) and len(found) == len(at.node.outputs):
            return found
    except (RuntimeError, IndexError, ValueError, TypeError, KeyError):
        pass
    return nowhere_sure(at)


def pointwise(at: Visit) -> list[Words]:
    """Element by element; parameters of fewer elements stand beside the data."""
    for tensor in at.node.inputs:
        if tensor in at.graph.fixed and tensor not in at.words:
            _beside(at, tensor, union(list(at.words.values()), at.shape()))
    return [union(list(at.words.values()), at.shape(i)) for i in range(len(at.node.outputs))]


def _beside(at: Visit, tensor: int, words: torch.Tensor) -> None:
    shape = at.graph.infos[tensor].shape
    for dim, size in enumerate(shape):
        at_data = words.ndim - len(shape) + dim
        if size > 1 and words.shape[at_data] == size:
            others = [d for d in range(words.ndim) if d != at_data]
            at.carriers.append((tensor, dim, gathered(words, others).reshape(-1).expand(size)))


def moved(at: Visit) -> list[Words]:
    """The same movement of words; what is not data (indices) must be untouched."""
    node, graph, target = at.node, at.graph, at.node.written
    if any(tensor in at.words and not graph.infos[tensor].is_float for tensor in node.inputs) and not node.func.is_view:
        return nowhere_sure(at)

    def fill(tensor: int) -> Any:
        info = graph.infos[tensor]
        if tensor in at.words and torch.Tag.inplace_view in node.func.tags:
            return at.words[tensor].expand(info.shape)  # of its own shape, since the operation changes it
        if tensor in at.words:
            return (
                at.words[tensor].clone(memory_format=torch.contiguous_format) if tensor == target else at.words[tensor]
            )
        if tensor == target:
            return torch.zeros(info.shape, dtype=torch.int64)
        return torch.zeros((), dtype=torch.int64).expand(info.shape) if info.is_float else info.value

    args, kwargs = node.arguments(fill)
    if node.name in ("view", "_unsafe_view", "_reshape_alias", "reshape"):
        words = at.words[node.inputs[0]]
        shape = at.shape()
        try:
            return [words.view(shape)]
        except RuntimeError:
            return [words.reshape(shape)]
    if node.name == "constant_pad_nd":
        args, kwargs = args[:2], {}
    out = node.func(
        *args, **{k: v for k, v in kwargs.items() if k not in ("dtype", "memory_format", "layout", "device")}
    )
    return list(out) if isinstance(out, (tuple, list)) else [out]


def copied(at: Visit) -> list[Words]:
    """The words of the data itself: copies, casts."""
    words = at.of(at.args()[0])
    return [words for _ in at.node.outputs]


def overwritten(at: Visit) -> list[Words]:
    """What a tensor is filled with; a number leaves every element in its place."""
    target, *values = at.args()
    value = values[0] if values else None
    if not isinstance(value, Ref):
        return [at.of(target)]
    words = at.of(value)
    return [None if words is None else words.expand(at.shape())]


def restrided(at: Visit) -> list[Words]:
    """Another layout in memory: of the same elements where sizes and strides above size 1 stay."""
    before, after = (at.graph.infos[t] for t in (at.node.inputs[0], at.node.outputs[0]))

    def pairs(info: Info) -> list[tuple[int, int]]:
        return [(n, s) for n, s in zip(info.shape, info.stride, strict=True) if n > 1]

    if before.shape == after.shape and pairs(before) == pairs(after):
        return [at.words[at.node.inputs[0]]]
    return nowhere_sure(at)


def nothing(at: Visit) -> list[Words]:
    """What is made does not depend on values."""
    return [None for _ in at.node.outputs]


def nowhere_sure(at: Visit) -> list[Words]:
    """Everything reaches all."""
    return [at.everywhere().expand(at.shape(i)) for i in range(len(at.node.outputs))]


def reduced(at: Visit) -> list[Words]:
    """What stands along the dimensions, in each element that is left of them."""
    words = at.words.get(at.node.inputs[0])
    if words is None:
        return nowhere_sure(at)
    dims = at.argument("dim")
    dims = list(range(words.ndim)) if dims is None or dims == [] else [dims] if isinstance(dims, int) else list(dims)
    return _shaped(at, gathered(words, dims))


def _shaped(at: Visit, total: torch.Tensor) -> list[Words]:
    out: list[Words] = []
    for i in range(len(at.node.outputs)):
        shape = at.shape(i)
        if len(shape) == total.ndim:
            out.append(total.expand(shape))
        elif total.numel() == math.prod(shape):
            out.append(total.reshape(shape))
        else:  # the dimensions that did not change are still to be spread out
            out.append(_squeezed(total, at.argument("dim")).expand(shape))
    return out


def _squeezed(total: torch.Tensor, dims: Any) -> torch.Tensor:
    chosen = {d % total.ndim for d in ([dims] if isinstance(dims, int) else dims or range(total.ndim))}
    return total[tuple(0 if d in chosen else slice(None) for d in range(total.ndim))]


def softmax(at: Visit) -> list[Words]:
    """Along its dimension, everything reaches all."""
    words = at.words[at.node.inputs[0]]
    return [gathered(words, [at.args()[1]]).expand(at.shape())]


def spatial(at: Visit) -> list[Words]:
    """Pooling, resizing, padding: a channel stays, its positions are not told apart."""
    words = at.words.get(at.node.inputs[0])
    if words is None:
        return nowhere_sure(at)
    kept = 2 if words.ndim > 2 else 1
    total = gathered(words, list(range(kept, words.ndim)))
    return [total.expand(at.shape(i)) for i in range(len(at.node.outputs))]


def batch_norm(at: Visit) -> list[Words]:
    """Every channel alone; with the batch's own statistics, all of the channel."""
    args, (rank, size) = at.args(), (len(at.shape()), at.shape()[1])
    parts = []
    if (data := at.of(args[0])) is not None:
        own = bool(at.argument("training")) or args[3] is None
        data = gathered(data, [d for d in range(rank) if d != 1]) if own else data
        parts.append(data)
        _norm_carriers(at, args[1:5], gathered(data, [d for d in range(rank) if d != 1]).reshape(-1).expand(size))
    parts += [w.view(1, -1, *(1 for _ in range(rank - 2))) for ref in args[1:5] if (w := at.of(ref)) is not None]
    out: list[Words] = [union(parts, at.shape())]
    return out + [None for _ in at.node.outputs[1:]]


def _norm_carriers(at: Visit, refs: Any, words: torch.Tensor) -> None:
    for ref in refs:
        if isinstance(ref, Ref) and ref.tensor not in at.words and len(at.graph.infos[ref.tensor].shape) == 1:
            at.carriers.append((ref.tensor, 0, words))


def layer_norm(at: Visit) -> list[Words]:
    """Everything along the normalised dimensions reaches all of them."""
    data, dims, *affine = at.args()[:4]
    parts, last = [], list(range(-len(dims), 0))
    if (words := at.of(data)) is not None:
        words = words if at.through_norms else gathered(words, last)
        parts.append(words)
        if len(dims) == 1:
            per_channel = gathered(words, list(range(words.ndim - 1))).reshape(-1).expand(dims[0])
            _norm_carriers(at, affine, per_channel)
    parts += [w for ref in affine if (w := at.of(ref)) is not None]
    out: list[Words] = [union(parts, at.shape())]
    return out + [None for _ in at.node.outputs[1:]]


def group_norm(at: Visit) -> list[Words]:
    """Everything in a group reaches all of it."""
    data, weight, bias, _, channels, _, groups = at.args()[:7]
    rank, parts = len(at.shape()), []
    if (words := at.of(data)) is not None:
        words = gathered(words, list(range(2, rank)))
        words = words.expand(words.shape[0], channels, *words.shape[2:])
        if not at.through_norms or groups > 1:
            inside = gathered(words.reshape(words.shape[0], groups, -1), [2])
            words = inside.expand(-1, -1, channels // groups).reshape(words.shape)
        parts.append(words)
        _norm_carriers(at, (weight, bias), gathered(words, [0]).reshape(-1).expand(channels))
    parts += [w.view(1, -1, *(1 for _ in range(rank - 2))) for ref in (weight, bias) if (w := at.of(ref)) is not None]
    out: list[Words] = [union(parts, at.shape())]
    return out + [None for _ in at.node.outputs[1:]]


def product(at: Visit) -> list[Words]:
    """Data times data: what a row of the one or a column of the other holds."""
    args, parts = at.args(), []
    if at.node.name.startswith(("add", "badd")):
        first, *args = args  # type: ignore[assignment]
        if (words := at.of(first)) is not None:
            parts.append(words)
    left, right = at.of(args[0]), at.of(args[1])
    if left is not None:
        parts.append(gathered(left, [-1]))
    if right is not None:
        parts.append(gathered(right, [-2] if right.ndim > 1 else None))
    shape = at.shape()
    parts = [p if p.ndim == len(shape) else p.reshape([d for d in p.shape if d > 1] or [1] * len(shape)) for p in parts]
    return [union(parts, shape)]


def glu(at: Visit) -> list[Words]:
    """One half gates the other."""
    halves = at.words[at.node.inputs[0]].chunk(2, at.argument("dim"))
    return [halves[0] | halves[1]]


def weight_norm(at: Visit) -> list[Words]:
    """v · g / ‖v‖, the norm over all dimensions but one."""
    direction, size = at.args()[:2]
    dim = at.argument("dim")
    parts = [w for ref in (direction, size) if (w := at.of(ref)) is not None]
    others = [d for d in range(len(at.shape())) if d != dim]
    return [union([gathered(w, others) for w in parts], at.shape()), *(None for _ in at.node.outputs[1:])]


def patches(at: Visit) -> list[Words]:
    """im2col: each channel becomes as many as the kernel has positions."""
    words = at.words[at.node.inputs[0]]
    batch, wide, count = at.shape()
    words = gathered(words, [2, 3])[..., 0, 0].expand(batch, -1)
    channels = at.graph.infos[at.node.inputs[0]].shape[1]
    words = words.expand(batch, channels)
    return [words.repeat_interleave(wide // channels, 1)[..., None].expand(batch, wide, count)]


def by_nan(at: Visit) -> list[Words]:
    """The operation itself, with NaN in place of each lane in turn."""
    node, graph = at.node, at.graph
    reached = [graph.infos[t] for t in dict.fromkeys(node.inputs) if t in at.words]
    if node.written is not None or not all(info.is_float for info in reached):
        return nowhere_sure(at)
    lanes = int(at.everywhere())
    found = [torch.zeros(at.shape(i), dtype=torch.int64) for i in range(len(node.outputs))]
    for lane in range(LANES):
        if not lanes >> lane & 1:
            continue

        def fill(tensor: int, lane: int = lane) -> Any:
            info = graph.infos[tensor]
            if not info.is_float:
                return info.value
            clean = torch.ones((), dtype=info.dtype).expand(info.shape)
            words = at.words.get(tensor)
            return clean if words is None else torch.where((words >> lane & 1).bool(), math.nan, clean)

        try:
            args, kwargs = node.arguments(fill)
            out = node.func(*args, **kwargs)
        except Exception:  # an operation of anybody's, on values that are not its own
            return nowhere_sure(at)
        for i, tensor in enumerate(out if isinstance(out, (tuple, list)) else [out]):
            if not isinstance(tensor, torch.Tensor) or tuple(tensor.shape) != at.shape(i):
                return nowhere_sure(at)
            bad = torch.isnan(tensor) if tensor.is_floating_point() or tensor.is_complex() else True
            found[i] |= torch.where(torch.as_tensor(bad), 1 << lane, 0)
    return [compact(words).expand(at.shape(i)) for i, words in enumerate(found)]


POINTWISE = {
    "hardswish",
    "hardtanh",
    "leaky_relu",
    "elu",
    "threshold",
    "softplus",
    "log_sigmoid_forward",
    "native_dropout",
}
POINTWISE |= {"_prelu_kernel", "rrelu_with_noise", "nan_to_num", "silu", "hardsigmoid", "celu", "bernoulli"}
MOVES = ["cat", "stack", "index", "index_select", "gather", "repeat", "roll", "flip", "constant_pad_nd", "tril", "triu"]
MOVES += ["_unsafe_view", "_reshape_alias", "channel_shuffle", "pixel_shuffle", "pixel_unshuffle", "unsafe_split"]
MOVES += ["slice_scatter", "select_scatter", "scatter", "index_put", "unsafe_chunk", "unfold_copy", "take_along_dim"]
MOVES += ["unsafe_split_with_sizes", "block_diag", "_unsafe_index", "native_channel_shuffle"]
COPIES = ["clone", "_to_copy", "lift_fresh", "detach", "alias", "contiguous"]
FREE = [
    "zeros_like",
    "ones_like",
    "full_like",
    "empty_like",
    "rand_like",
    "randn_like",
    "new_zeros",
    "new_ones",
    "new_full",
]
FREE += ["new_empty", "new_empty_strided", "uniform", "normal", "random"]
REDUCES = ["sum", "mean", "amax", "amin", "max", "min", "std", "var", "var_mean", "std_mean", "prod", "any", "all"]
REDUCES += [
    "argmax",
    "argmin",
    "logsumexp",
    "linalg_vector_norm",
    "norm",
    "cumsum",
    "cumprod",
    "sort",
    "topk",
    "median",
]
REDUCES += ["kthvalue", "mode", "nansum", "argsort", "logcumsumexp", "aminmax", "count_nonzero"]
SPATIAL = ["max_pool2d_with_indices", "max_pool3d_with_indices", "avg_pool1d", "avg_pool2d", "avg_pool3d"]
SPATIAL += [f"{how}{n}d" for how in ("_adaptive_avg_pool", "adaptive_max_pool", "adaptive_avg_pool") for n in (1, 2, 3)]
SPATIAL += [f"upsample_{how}" for how in ("nearest1d", "nearest2d", "nearest3d", "linear1d", "bilinear2d", "bicubic2d")]
SPATIAL += [f"_upsample_{how}_aa" for how in ("bilinear2d", "bicubic2d")] + ["upsample_trilinear3d"]
SPATIAL += [f"{how}_pad{n}d" for how in ("reflection", "replication") for n in (1, 2, 3)]

RULES: dict[str, Rule] = {
    **dict.fromkeys(MOVES, moved),
    **dict.fromkeys(COPIES, copied),
    **dict.fromkeys(FREE, nothing),
    **dict.fromkeys(REDUCES, reduced),
    **dict.fromkeys(SPATIAL, spatial),
    **dict.fromkeys(["_softmax", "_log_softmax", "_safe_softmax"], softmax),
    **dict.fromkeys(
        ["native_batch_norm", "_native_batch_norm_legit", "cudnn_batch_norm", "_native_batch_norm_legit_no_training"],
        batch_norm,
    ),
    **dict.fromkeys(["mm", "addmm", "bmm", "baddbmm", "mv", "addmv", "dot", "vdot"], product),
    "native_layer_norm": layer_norm,
    "native_group_norm": group_norm,
    **dict.fromkeys(["copy", "fill", "zero"], overwritten),
    "as_strided": restrided,
    "glu": glu,
    "_weight_norm_interface": weight_norm,
    "im2col": patches,
}
