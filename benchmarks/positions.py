"""Weights that carry their own positions: an independent check of what any tool has pruned.

Before pruning every parameter gets values whose bits are its positions, scrambled. What a pruned model kept of it is
read off its values afterwards, whatever tool cut it and whatever that tool says of it. The *masked model* is the whole
one in which every weight that is gone is next to nothing (1e-30 of itself, so that nothing is divided by zero); in
double precision the pruned model equals it, or it computes something else than it was said to.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from prunebench.models.input_spec import output_of
from prunebench.pruning.units.copies import doubles

FAINT = 1e-30
TOLERANCE = 1e-9
"""Relative difference in double precision."""

SHOWS = 1e-7
"""Relative difference that masking makes at least; where it makes less, nothing is said."""

CHUNK = 1 << 22


class Unreadable(Exception):
    """A parameter cannot carry positions, or does not hold slices of what it was."""


@dataclass(frozen=True)
class Kind:
    """How a floating-point type is laid out, which binades matrices use, and what counts positions."""

    dtype: torch.dtype
    integer: torch.dtype
    counts: torch.dtype
    mantissa: int
    binades: int
    bias: int


KINDS = {
    kind.dtype: kind
    for kind in (
        Kind(torch.float64, torch.int64, torch.int64, 52, 3, 1023),
        Kind(torch.float32, torch.int32, torch.int32, 23, 3, 127),
        Kind(torch.bfloat16, torch.int16, torch.int32, 7, 5, 127),
        Kind(torch.float16, torch.int16, torch.int32, 10, 2, 15),
    )
}


@dataclass(frozen=True)
class Mark:
    """How one parameter's values say positions: `exponent` is that of its largest binade; vectors are positive."""

    shape: tuple[int, ...]
    kind: Kind
    exponent: int
    vector: bool

    @property
    def bits(self) -> int:
        """Bits of a position."""
        return self.kind.mantissa + (0 if self.vector else self.kind.binades + 1)


Marks = dict[str, Mark]


def mark(model: nn.Module) -> Marks:
    """Fill every parameter with its positions, in place; vectors from 0.5 to 1, matrices scaled by what they read.

    Raises:
        Unreadable: a parameter is of a type that has no room for them.
    """
    marks: Marks = {}
    known: dict[int, Mark] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if id(parameter) in known:
            marks[name] = known[id(parameter)]
            continue
        kind, vector = KINDS.get(parameter.dtype), sum(n > 1 for n in parameter.shape) < 2
        if kind is None:
            raise Unreadable(f"{name} is {str(parameter.dtype).removeprefix('torch.')}")
        reads = parameter.numel() / parameter.shape[0] if parameter.ndim and parameter.numel() else 1
        exponent = -1 if vector else 1 - round(math.log2(max(1, reads)) / 2)
        marks[name] = known[id(parameter)] = own = Mark(tuple(parameter.shape), kind, exponent, vector)
        if parameter.numel() > 1 << own.bits:
            raise Unreadable(f"{name} has {parameter.numel()} values of too few bits")
        flat = torch.empty(parameter.numel(), dtype=parameter.dtype)
        for start, stop in _chunks(len(flat)):
            flat[start:stop] = _values(start, stop, own)
        with torch.no_grad():
            parameter.copy_(flat.view(parameter.shape))
    return marks


def kept(marks: Marks, model: nn.Module) -> dict[str, list[torch.Tensor]]:
    """For each parameter of a pruned model the positions that it kept, along each dimension.

    Raises:
        Unreadable: its values are not slices of what the parameter was.
    """
    found = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if name not in marks or parameter.ndim != len(marks[name].shape):
            raise Unreadable(f"{name} is not a parameter of the whole model")
        found[name] = _kept(name, parameter.detach(), marks[name])
    if missing := marks.keys() - found.keys():
        raise Unreadable(f"{min(missing)} is gone")
    if mixed := [name for name, axes in found.items() if any((axis.diff() <= 0).any() for axis in axes)]:
        raise Unreadable(f"{mixed[0]} holds its slices in another order")
    return found


def _kept(name: str, values: torch.Tensor, own: Mark) -> list[torch.Tensor]:
    if not values.numel():
        raise Unreadable(f"{name} is empty")
    axes = []
    for dim, size in enumerate(values.shape):
        line = values[tuple(slice(None) if d == dim else 0 for d in range(values.ndim))].reshape(size)
        ids = _ids(line, own)
        if not bool(((ids >= 0) & (ids < math.prod(own.shape))).all()):
            raise Unreadable(f"{name} holds other values than it did")
        axes.append(ids.long() // math.prod(own.shape[dim + 1 :]) % own.shape[dim])
    wanted = torch.zeros((), dtype=torch.int64)
    for dim, axis in enumerate(axes):
        shape = [-1 if d == dim else 1 for d in range(values.ndim)]
        wanted = wanted + (axis * math.prod(own.shape[dim + 1 :])).view(shape)
    flat, wanted = values.reshape(-1), wanted.expand(values.shape).reshape(-1)
    for start, stop in _chunks(len(flat)):
        if not torch.equal(_ids(flat[start:stop], own), wanted[start:stop].to(own.kind.counts)):
            raise Unreadable(f"{name} holds values that are not slices of what it was")
    return axes


def _chunks(count: int) -> Iterator[tuple[int, int]]:
    return ((start, min(count, start + CHUNK)) for start in range(0, count, CHUNK))


def _values(start: int, stop: int, own: Mark) -> torch.Tensor:
    kind = own.kind
    code = _scrambled(torch.arange(start, stop, dtype=kind.counts), own.bits)
    fraction, above = code & ((1 << kind.mantissa) - 1), code >> kind.mantissa
    binade, sign = above & ((1 << kind.binades) - 1), above >> kind.binades
    size = (kind.bias + own.exponent - binade << kind.mantissa) | fraction
    values = size.to(kind.integer).view(kind.dtype)
    return torch.where(sign == 1, -values, values)


def _ids(values: torch.Tensor, own: Mark) -> torch.Tensor:
    """Positions, or −1 where a value says none."""
    kind = own.kind
    size = values.abs().contiguous().view(kind.integer).to(kind.counts)
    binade = kind.bias + own.exponent - (size >> kind.mantissa)
    above = torch.signbit(values).to(kind.counts) << kind.binades | binade
    code = above << kind.mantissa | size & ((1 << kind.mantissa) - 1)
    sound = (binade >= 0) & (above < 1 << own.bits - kind.mantissa)
    return torch.where(sound, _plain(torch.where(sound, code, 0), own.bits), -1)


FACTOR = 0x9E3779B1


def _scrambled(ids: torch.Tensor, bits: int) -> torch.Tensor:
    """A permutation of the numbers of so many bits."""
    half, below = (bits + 1) // 2, (1 << bits) - 1
    for _ in range(2):
        ids = (ids ^ ids >> half).mul_(FACTOR & below).bitwise_and_(below)
    return ids ^ ids >> half


def _plain(codes: torch.Tensor, bits: int) -> torch.Tensor:
    """The numbers that were scrambled."""
    half, below = (bits + 1) // 2, (1 << bits) - 1
    inverse = pow(FACTOR, -1, 1 << bits)
    codes = codes ^ codes >> half
    for _ in range(2):
        codes = (codes * inverse).bitwise_and_(below)
        codes ^= codes >> half
    return codes


def settle(model: nn.Module, inputs: Any) -> None:
    """Give batch norms the statistics of what they see, so that values neither grow nor vanish with depth."""
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.running_var is not None]
    momenta = [norm.momentum for norm in norms]
    model.eval()
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    try:
        with torch.no_grad():
            output_of(model, inputs)
    except Exception:  # a channel of one value has no variance; a model that does not run is told of elsewhere
        pass
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.eval()
        norm.momentum = momentum
        norm.running_var.nan_to_num_(1.0).clamp_(min=0.1)


@dataclass(frozen=True)
class Judgement:
    """Whether a pruned model equals the masked one.

    Attributes:
        verdict: "equal", "differs", "nothing goes", or "not judged".
        difference: the largest, relative to the largest output.
    """

    verdict: str
    why: str = ""
    difference: float | None = None


def judge(whole: nn.Module, marks: Marks, pruned: nn.Module, inputs: Any) -> Judgement:
    """Compare a pruned model with the masked one in double precision; both models are used up.

    Args:
        whole: the model that `mark` was given, with the same values still.
        inputs: a batch, floating-point tensors in double precision.
    """
    try:
        left = kept(marks, pruned)
    except Unreadable as error:
        return Judgement("differs", str(error))
    gone = {name: _gone(marks[name].shape, axes) for name, axes in left.items()}
    if not any(len(index) for dims in gone.values() for index in dims):
        return Judgement("nothing goes")
    full = _run(whole.double(), inputs)
    _mask(whole, gone)
    wanted = _run(whole, inputs)
    try:
        found = _run(pruned.double(), inputs)
    except Exception as error:  # of a model of anybody's
        return Judgement("differs", f"it does not run: {type(error).__name__}: {str(error)[:120]}")
    return _compared(full, wanted, found)


def _compared(full: torch.Tensor, wanted: torch.Tensor, found: torch.Tensor) -> Judgement:
    if not torch.isfinite(wanted).all() or not torch.isfinite(full).all():
        return Judgement("not judged", "the masked model's outputs are not finite")
    if found.shape != wanted.shape:
        return Judgement("differs", f"outputs {tuple(found.shape)} instead of {tuple(wanted.shape)}")
    scale = float(wanted.abs().max()) or 1.0
    difference = float((found - wanted).abs().max()) / scale
    if not difference <= TOLERANCE:
        return Judgement("differs", f"by {difference:.1g}", difference)
    if float((full - wanted).abs().max()) / scale < SHOWS:
        return Judgement("not judged", "masking changes too little to tell", difference)
    return Judgement("equal", "", difference)


def _gone(shape: tuple[int, ...], axes: list[torch.Tensor]) -> list[torch.Tensor]:
    return [torch.tensor(sorted({*range(n)} - {*axis.tolist()})) for n, axis in zip(shape, axes, strict=True)]


def _mask(model: nn.Module, gone: dict[str, list[torch.Tensor]]) -> None:
    _untie(model)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            for dim, index in enumerate(gone[name]):
                if len(index):
                    faint = parameter.index_select(dim, index) * FAINT
                    parameter.index_copy_(dim, index, faint)


def _untie(model: nn.Module) -> None:
    """Give every layer parameters of its own: a tool may have cut them apart."""
    seen: set[int] = set()
    for module in model.modules():
        for key, parameter in module.named_parameters(recurse=False):
            if id(parameter) in seen:
                setattr(module, key, nn.Parameter(parameter.detach().clone(), parameter.requires_grad))
            seen.add(id(parameter))


def _run(model: nn.Module, inputs: Any) -> torch.Tensor:
    with torch.no_grad(), doubles():
        return output_of(model.eval(), inputs).double()
