"""Multiplied: the parameters that are multiplied with data, which are a model's weights wherever they live.

Parameters are followed through the operators of a pass, as multiply-accumulates are counted: what is a view, a
transposition or a cast of a parameter is that parameter still. What is computed of several, as by a weight norm, is
computed anew with zeros in them: only where these become as many zeros of the product's factor is one a weight.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_flatten, tree_unflatten
from torch.utils.weak import WeakTensorKeyDictionary

from prunebench.errors import ModelError
from prunebench.models.input_spec import InputSpec, output_of, to
from prunebench.models.macs import Operators, factors, taken_apart, tensors_in
from prunebench.models.sharing import first_names
from prunebench.pruning.units.copies import doubles, fresh
from prunebench.pruning.units.modes import preserved, training
from prunebench.user_code import failure

COMPUTED = "a weight is computed of it, and is not zero where it is zero"
LOOKED_UP = "look-up tables, which --targets all prunes, or an --include that fits them alone"
SCALES = "it scales a weight, which is pruned where it comes from"
OTHERWISE = "added, joined, or multiplied element by element"
UNUSED = "no data reaches it"

SAMPLES = 2
"""Samples of a pass."""

LAYERS = (
    *(nn.modules.conv._ConvNd, nn.Linear, nn.Bilinear),
    *(nn.MultiheadAttention, nn.RNNBase, nn.modules.rnn.RNNCellBase),
)
"""Layers that multiply what they read with their parameters of two or more dimensions."""

aten = torch.ops.aten

COPIES = {aten.clone, aten._to_copy, aten._unsafe_view, aten.lift_fresh, aten._reshape_copy, aten.contiguous}
"""Operators besides views whose result holds the very values of what they are given."""

TABLES = {aten.embedding, aten._embedding_bag, aten._embedding_bag_forward_only}
"""Operators that look up rows of their first argument, or sums of rows."""

PICKS = {aten.index, aten.index_select, aten.gather}
"""Operators that do where the sample says which rows; by constants they put values in another order."""


@dataclass(frozen=True)
class Weights:
    """What of a model counts as weight; parameters go by their first names, in the model's order.

    Attributes:
        names: weights → dimensions along which every slice must keep a value, None for the tensor as a whole: without
            any, what is computed of it is not finite (a direction of length zero).
        tables: what is looked up.
        others: further parameters of two or more dimensions → why they are none.
    """

    names: dict[str, tuple[int | None, ...]]
    tables: frozenset[str] = frozenset()
    others: dict[str, str] = field(default_factory=dict)


def find_weights(model: nn.Module, inputs: InputSpec) -> Weights:
    """Find what is multiplied with data, on a copy with random values: which it is, does not depend on values.

    Args:
        inputs: what the model reads.
    """
    wide = [name for name, parameter in model.named_parameters() if parameter.ndim > 1]
    passes = _on_a_copy(model, inputs) or _as_it_is(model, inputs)
    keeping: dict[str, tuple[int | None, ...]] = {}
    reasons: dict[str, str] = {}
    tables = set[str]().union(_held_by(model, (nn.Embedding, nn.EmbeddingBag)), *(each.tables for each in passes))
    for each in passes:
        proved, scaling, mixed = each.proved()
        found = {name: dims for name, dims in proved.items() if name not in tables}
        keeping = {**dict.fromkeys(each.multiplied, ()), **keeping, **found}
        reasons = {
            **dict.fromkeys(each.used, OTHERWISE),
            **reasons,
            **dict.fromkeys(scaling, SCALES),
            **dict.fromkeys(mixed, COMPUTED),
        }
    reasons |= dict.fromkeys(tables, LOOKED_UP)
    return Weights(
        names={name: keeping[name] for name in wide if name in keeping},
        tables=frozenset(name for name in wide if name in tables and name not in keeping),
        others={name: reasons.get(name, UNUSED) for name in wide if name not in keeping},
    )


def _on_a_copy(model: nn.Module, inputs: InputSpec) -> list[_Followed]:
    """The passes of a copy with random values, in single precision or else in double; none where neither works."""
    for precision in (torch.float32, torch.float64):
        try:
            trial = fresh(model)  # in double precision
            trial = trial.float() if precision == torch.float32 else trial
            with doubles() if precision == torch.float64 else torch.random.fork_rng(devices=[]):
                passes = _passes(trial, to(inputs.example(SAMPLES), dtype=precision))
        except Exception:  # a model of anybody's, that casts for itself
            continue
        if any(each.used for each in passes):  # else its forward is bound to the model that was copied
            return passes
    return []


def _as_it_is(model: nn.Module, inputs: InputSpec) -> list[_Followed]:
    """The passes of the model itself.

    Raises:
        ModelError: it does not run.
    """
    device = next((parameter.device for parameter in model.parameters()), None)
    try:
        return _passes(model, to(inputs.example(), device=device))
    except Exception as error:  # a model of anybody's
        raise ModelError(f"The model does not run on {inputs.text()}: {failure(error)}.") from error


def _passes(model: nn.Module, example: Any) -> list[_Followed]:
    """One in evaluation; one in training too, where the model runs so."""
    found = []
    with preserved(model), taken_apart(model), torch.no_grad():
        for mode in (nn.Module.eval, training):
            mode(model)
            followed = _Followed(model, example)
            try:
                with followed:
                    output_of(model, example)
            except Exception:  # a model that needs more than this to train
                if mode is nn.Module.eval:
                    raise
                continue
            found.append(followed)
    return found


@dataclass(frozen=True)
class _Origin:
    """Where a tensor comes from that no sample has a part in: of which parameters it is computed, and the last tensor
    before it whose very values it holds; `name` is that of a parameter that this is."""

    names: frozenset[str]
    root: torch.Tensor
    name: str | None = None


_DATA = None
"""The origin of what depends on the sample. What is neither this nor computed of parameters is not known."""


@dataclass(frozen=True)
class _Computation:
    """An operator that computed something of parameters alone: its arguments, flat, and what it made."""

    func: Any
    flat: list[Any]
    spec: Any
    made: list[torch.Tensor]

    @property
    def given(self) -> list[torch.Tensor]:
        """The tensors among its arguments."""
        return [value for value in self.flat if isinstance(value, torch.Tensor)]

    def run(self, there: dict[int, torch.Tensor]) -> None:
        """Run it with other tensors, by the numbers of those that it had, and add what it makes of them."""
        if self.func._schema.is_mutable:
            there |= {id(value): value.clone() for value in self.given if id(value) not in there}
        flat = [there.get(id(value), value) if isinstance(value, torch.Tensor) else value for value in self.flat]
        args, kwargs = tree_unflatten(flat, self.spec)
        there.update(zip(map(id, self.made), tensors_in(self.func(*args, **kwargs)), strict=True))


class _Followed(Operators):
    """A pass in which parameters are followed.

    Attributes:
        multiplied: names of the parameters that are multiplied with data as they are.
        used: names of those that any operator reads.
        tables: names of those in which rows are looked up.
    """

    def __init__(self, model: nn.Module, example: Any) -> None:
        super().__init__()
        self.multiplied: set[str] = set()
        self.used: set[str] = set()
        self.tables: set[str] = set()
        self._parameters = dict(model.named_parameters())
        self._layers = _of_layers(model)
        self._tape: list[_Computation] = []
        self._computed: list[_Origin] = []
        self._ways: dict[int, list[_Computation]] = {}
        self._origins = WeakTensorKeyDictionary()
        self._places: dict[int, _Origin] = {}
        for name, parameter in self._parameters.items():
            self._origins[parameter] = origin = _Origin(frozenset([name]), parameter, name)
            if parameter.layout is torch.strided:
                self._places[parameter.untyped_storage().data_ptr()] = origin
        for tensor in tensors_in(example):
            self._origins[tensor] = _DATA

    def seen(self, func: Any, args: Any, kwargs: Any, out: Any) -> None:
        given = [self._origin(tensor) for tensor in tensors_in((args, kwargs)) if self._known(tensor)]
        packet = getattr(func, "_overloadpacket", func)
        self.used |= {origin.name for origin in given if origin is not None and origin.name}
        looks_up = packet in TABLES or (packet in PICKS and _DATA in given)
        if looks_up and self._known(args[0]) and (table := self._origin(args[0])) and table.name:
            self.tables.add(table.name)
        if _DATA in given:
            self._origins.update(dict.fromkeys(tensors_in(out), _DATA))
        elif given:
            self._compute(func, args, kwargs, out, [origin for origin in given if origin is not None])
        for multiplied, _ in factors(func, out, args, kwargs):
            self._multiply(multiplied)

    def _known(self, tensor: torch.Tensor) -> bool:
        return tensor in self._origins or self._in_place_of(tensor) is not None

    def _origin(self, tensor: torch.Tensor) -> _Origin | None:
        found: _Origin | None = self._origins[tensor] if tensor in self._origins else self._in_place_of(tensor)
        return found

    def _in_place_of(self, tensor: torch.Tensor) -> _Origin | None:
        """The parameter in whose memory a tensor lies that no operator made, as `parameter.data`."""
        if tensor.layout is not torch.strided or tensor.is_meta:
            return None
        return self._places.get(tensor.untyped_storage().data_ptr())

    def _compute(self, func: Any, args: Any, kwargs: Any, out: Any, given: list[_Origin]) -> None:
        made, packet = tensors_in(out), getattr(func, "_overloadpacket", func)
        self._tape.append(_Computation(func, *tree_flatten((args, kwargs)), made))
        if len(given) == 1 and (getattr(func, "is_view", False) or packet in COPIES):
            self._origins.update(dict.fromkeys(made, given[0]))
            return
        names = frozenset[str]().union(*(origin.names for origin in given))
        for tensor in made:
            self._origins[tensor] = _Origin(names, tensor)

    def _multiply(self, multiplied: list[torch.Tensor]) -> None:
        """Note what of the factors of a product is a parameter.

        A layer's weight counts also where it is multiplied with a parameter, such as a query that is learnt.
        """
        known = [self._known(tensor) for tensor in multiplied]
        origins = [self._origin(tensor) for tensor in multiplied]
        for i, origin in enumerate(origins):
            if origin is None:
                continue
            others = [j for j in range(len(origins)) if j != i]
            by_data = not others or any(known[j] and origins[j] is _DATA for j in others)
            if origin.name is None:
                self._computed += [origin] if by_data else []
            elif by_data or (
                origin.name in self._layers
                and not any((other := origins[j]) is not None and other.name in self._layers for j in others)
            ):
                self.multiplied.add(origin.name)

    # What is computed of parameters

    def proved(self) -> tuple[dict[str, tuple[int | None, ...]], set[str], set[str]]:
        """Of the parameters of which factors of data are computed: those whose zeros are zeros of what is computed →
        the dimensions of `Weights.names`; those that have a part in what comes from these; and all others."""
        found: dict[str, tuple[int | None, ...]] = {}
        scaling, mixed = set[str](), set[str]()
        for origin in {id(each.root): each for each in self._computed}.values():
            sources = [name for name in origin.names if self._parameters[name].ndim > 1]
            sources.sort(key=lambda name: (self._parameters[name].numel(), name), reverse=True)
            room, left = origin.root.numel(), set(sources)
            for name in sources:
                size = self._parameters[name].numel()
                if size <= room and self._is_zero_with(origin, name, alone=len(sources) == 1):
                    found[name] = tuple(dict.fromkeys((*found.get(name, ()), *self._slices(origin, name))))
                    room -= size
                    left.discard(name)
            (mixed if left == set(sources) else scaling).update(left)
        return found, scaling, mixed

    def _is_zero_with(self, origin: _Origin, name: str, *, alone: bool) -> bool:
        """Whether of any values of a parameter that are zero as many become zero of what is computed of it.

        What is not finite then counts as zero: a slice of zeros that has no direction. Where nothing else has a part in
        it, each may become several, as of a filter that is repeated.
        """
        before, source = origin.root == 0, self._parameters[name]
        times = set()
        for share in (0.3, 0.6):
            draw = torch.rand(source.numel(), generator=torch.Generator().manual_seed(0))
            gone = draw.argsort()[: max(1, round(share * len(draw)))]
            keep = torch.ones(source.numel(), dtype=torch.bool).index_fill_(0, gone, 0).view(source.shape)
            computed = self._again(origin.root, name, keep := keep.to(source.device))
            zero = ~computed.isfinite() | (computed == 0)
            if zero.shape == keep.shape and torch.equal(zero, ~keep | before):  # some were zero before, as of rounding
                times.add(1.0)
            else:
                times.add((int(zero.sum()) - int(before.sum())) / len(gone))
        return len(times) == 1 and (times == {1.0} or (alone and min(times) >= 1))

    def _slices(self, origin: _Origin, name: str) -> Iterator[int | None]:
        """The dimensions along which a slice of zeros alone makes what is computed of a parameter not finite."""
        source = self._parameters[name]
        keep = torch.ones(source.shape, dtype=torch.bool, device=source.device)
        along = []
        for dim in range(source.ndim):
            one = keep.clone()
            one.select(dim, 0).zero_()
            if source.shape[dim] > 1 and not self._again(origin.root, name, one).isfinite().all():
                along.append(dim)
        yield from along
        if not along and not self._again(origin.root, name, ~keep).isfinite().all():
            yield None

    def _again(self, root: torch.Tensor, name: str, keep: torch.Tensor) -> torch.Tensor:
        """What is computed of the parameters once some values of one are zero; NaN where it cannot be."""
        parameter = self._parameters[name]
        there: dict[int, torch.Tensor] = {id(parameter): parameter.detach().masked_fill(~keep, 0)}
        try:
            with torch.no_grad():
                for each in self._leading_to(root):
                    if any(id(value) in there for value in each.given):
                        each.run(there)
        except Exception:  # a user's own computation, such as an inverse
            return torch.full_like(root, torch.nan)
        return there.get(id(root), root)

    def _leading_to(self, root: torch.Tensor) -> list[_Computation]:
        """The operators that a tensor comes from, and all that write in place: what they write may be a view of it."""
        if id(root) not in self._ways:
            needed, way = {id(root)}, []
            for each in reversed(self._tape):
                if each.func._schema.is_mutable or any(id(tensor) in needed for tensor in each.made):
                    needed |= {id(value) for value in each.given}
                    way.append(each)
            self._ways[id(root)] = way[::-1]
        return self._ways[id(root)]


def _of_layers(model: nn.Module) -> set[str]:
    """First names of the weights of layers that are known to multiply what they read."""
    return {
        name
        for name in _held_by(model, LAYERS) | _held_by(model, (), "Conv1D")  # of transformers, which need not be here
        if not name.endswith(("_orig", "_v", "_g"))  # of which a hook computes the weight
    }


def _held_by(model: nn.Module, kinds: tuple[type[nn.Module], ...], called: str = "") -> set[str]:
    """First names of the parameters that modules of some kinds, or of a class of this name, hold themselves."""
    first = first_names(model)
    return {
        first[f"{path}.{name}" if path else name]
        for path, module in model.named_modules()
        if isinstance(module, kinds) or type(module).__name__ == called
        for name, _ in module.named_parameters(recurse=False)
    }
