"""Fitting: the tensors of a weight file made to fit a model, or refused by name.

Prefixes, masks and types are dealt with here, where the model is known. All that is done is told in notes, and nothing
is decided by a guess that the names and shapes do not confirm.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from prunebench.errors import ModelError
from prunebench.models.masks import Masks
from prunebench.models.sharing import by_first_names
from prunebench.models.weight_files import SHOWN, Tensors, WeightFile, are, names_told

WRAPPERS = ("module", "_orig_mod")
"""Parts of names that DataParallel and torch.compile put in."""


@dataclass(frozen=True)
class Fitted:
    """What a model takes of a file.

    Attributes:
        tensors: by the model's names, in its types and shapes.
        masks: of the weights that torch.nn.utils.prune has masked; their masked weights are zero in `tensors`.
        fresh: names of the classifier's parameters that start fresh.
        notes: what was done with the tensors, a line each.
        tells_masks: whether the file says what is masked, were it nothing.
    """

    tensors: Tensors
    masks: Masks
    fresh: tuple[str, ...]
    notes: tuple[str, ...]
    tells_masks: bool = False


def without_auxiliary(file: WeightFile, model: nn.Module, modules: Iterable[str]) -> WeightFile:
    """A file without what belongs to these modules, where the model has none of them: heads that help in training
    from scratch.
    """
    absent = {name for name in modules if name not in dict(model.named_children())}
    off = [name for name in file.tensors if absent & set(name.split("."))]
    if not off:
        return file
    named = sorted({part for name in off for part in name.split(".") if part in absent})
    tensors = {name: value for name, value in file.tensors.items() if name not in off}
    note = f"{names_told(named)} left out: heads for training from scratch, which the model is built without"
    return replace(file, tensors=tensors, notes=(*file.notes, note))


def fitted(model: nn.Module, file: WeightFile, classes: int | None = None, heads: Sequence[str] = ()) -> Fitted:
    """What a model takes of a file; the model stays as it is.

    The classifier alone may start fresh: where the file has it for another number of classes, or has none.

    Args:
        model: whose names, shapes and types count.
        file: what was read.
        classes: how many the data has; where it is known, nothing but an output layer of so many rows is fresh.
        heads: modules that are the output layer; by default it is the last linear or convolutional layer.

    Raises:
        ModelError: the file does not fit; the message names the tensors.
    """
    own: Tensors = model.state_dict()
    tensors, averaged = _without_count(file.tensors, own)
    tensors, renamed = unwrapped(tensors, own)
    tensors, masks, unmasked = merged(tensors, own)
    tensors = _tied(tensors, own)
    check_types(tensors, own)
    head = _head(model, own, classes, heads)
    absent = all(name not in tensors for name in head)
    other = all(name in tensors and _other_rows(tensors[name], own[name]) for name in head)
    fresh = tuple(head) if absent or other else ()  # a layer starts fresh as a whole
    if problem := misfit({name: value.shape for name, value in tensors.items()}, own, fresh):
        raise ModelError(problem)
    tensors = {name: value for name, value in tensors.items() if name not in fresh}
    masks = by_first_names({name: mask for name, mask in masks.items() if name not in fresh}, model)
    tensors, converted = in_types(tensors, own)
    notes = [*file.notes, *averaged, *renamed, *unmasked, *converted, *zeros_told(model, tensors, masks)]
    if fresh:
        layers = list(dict.fromkeys(name.rpartition(".")[0] for name in fresh))
        start = "starts" if len(layers) == 1 else "start"
        notes.append(f"{' and '.join(layers)} {start} fresh, since the weights have {_others(file, fresh)}")
    return Fitted(tensors, masks, fresh, tuple(notes), bool(unmasked))


def misfit(shapes: Mapping[str, Any], own: Tensors, fresh: Iterable[str] = ()) -> str:
    """What of a file does not fit a model, each tensor named; empty where all does. `fresh` need not fit."""
    missing = [name for name in own if name not in shapes and name not in fresh and not _counts_batches(name)]
    unknown = [name for name in shapes if name not in own]
    known = [name for name in shapes if name in own and name not in fresh]
    others = [
        f"{name} has shape {tuple(shapes[name])} instead of {tuple(own[name].shape)}"
        for name in known
        if tuple(shapes[name]) != tuple(own[name].shape)
    ]
    if missing and len(unknown) == len(shapes):
        return f"nothing of it fits: it has {names_told(unknown)}; the model has {names_told(missing)}"
    parts = [f"{names_told(missing)} {are(missing)} missing"] if missing else []
    parts += [f"{names_told(unknown)} {are(unknown)} not part of the model"] if unknown else []
    parts += [names_told(others)] if others else []
    return "; ".join(parts)


def unwrapped(tensors: Tensors, own: Mapping[str, Any]) -> tuple[Tensors, tuple[str, ...]]:
    """The tensors by the model's names, where the file has these with a prefix; and what was taken off.

    Names are left as they are unless more of them are the model's without it.
    """
    bare = {name: ".".join(part for part in name.split(".") if part not in WRAPPERS) for name in tensors}
    off = [part for part in WRAPPERS if any(part in name.split(".") for name in tensors)]
    ways = [({name: name for name in tensors}, list[str]()), (bare, off)]
    for beginning in _beginnings(bare.values()):
        shorter = {name: new.removeprefix(f"{beginning}.") for name, new in bare.items()}
        ways.append((shorter, [*off, beginning]))
    ways = [way for way in ways if len(set(way[0].values())) == len(tensors)]

    def known(way: tuple[dict[str, str], list[str]]) -> int:
        return sum(name in own or _plain_name(name) in own for name in way[0].values())

    best = max(ways, key=known)
    if not known(best) and tensors and all(name.split(".")[0] in WRAPPERS for name in tensors) and len(ways) > 1:
        best = ways[1]  # nothing fits yet, and a caller may know more of what is left
    names, parts = best
    changed = [name for name in tensors if names[name] != name]
    if not changed:
        return tensors, ()
    told = " and ".join(f"{part}." for part in parts)
    note = f"{told} taken off the names of {len(changed)} of {len(tensors)} tensors"
    return {names[name]: tensor for name, tensor in tensors.items()}, (note,)


def merged(tensors: Tensors, own: Mapping[str, Any]) -> tuple[Tensors, Masks, tuple[str, ...]]:
    """The tensors with `weight_orig` and `weight_mask` of torch.nn.utils.prune as one, the masks, and what was done.

    Raises:
        ModelError: a mask has another shape than its weight, or other values than 0 and 1.
    """
    pairs = [
        name.removesuffix("_mask")
        for name in tensors
        if name.endswith("_mask") and name not in own and f"{name.removesuffix('_mask')}_orig" in tensors
    ]
    if not pairs:
        return tensors, {}, ()
    found, masks = dict(tensors), {}
    for name in pairs:
        weight, given = found.pop(f"{name}_orig"), found.pop(f"{name}_mask")
        mask = given != 0
        if given.shape != weight.shape or not torch.equal(mask.to(given.dtype), given):
            raise ModelError(f"{name}_mask is no mask of {name}_orig: it needs its shape, and zeros and ones alone")
        found[name] = torch.where(mask, weight, torch.zeros((), dtype=weight.dtype))
        if not mask.all():
            masks[name] = mask
    count, left = sum(found[name].numel() for name in pairs), sum(int((tensors[f"{n}_mask"] != 0).sum()) for n in pairs)
    note = (
        f"{len(pairs)} masks of torch.nn.utils.prune: {count - left:,} of {count:,} weights are masked, and stay so "
        f"({names_told(pairs)})"
    )
    return found, masks, (note,)


def check_types(tensors: Tensors, own: Mapping[str, torch.Tensor] | None = None) -> None:
    """Raise ModelError where weights are quantised, complex, not finite, or no numbers: these are none of the model.

    `own` are the model's tensors; those that it holds as whole numbers, or as infinite, may be so. Without it, all that
    are called weights or biases are looked at.
    """
    if empty := [name for name, value in tensors.items() if value.is_meta]:
        raise ModelError(f"{names_told(empty)} {are(empty)} without values (on the device meta). Save them once loaded")
    for kind, hint in (
        ("quantised", "Give the weights as they were before they were quantised"),
        ("complex", "The model's are real"),
    ):
        wrong = [name for name, value in tensors.items() if _kind(value) == kind and not _same_kind(own, name, kind)]
        if wrong:
            types = ", ".join(sorted({_type(tensors[name]) for name in wrong}))
            raise ModelError(f"its weights are {kind} ({types}): {names_told(wrong)}. {hint}")
    floats = [name for name, value in tensors.items() if _kind(value) == "float" and (own is None or name in own)]
    odd = [name for name in floats if not _is_finite(tensors[name])]
    for what, test in (("NaN", torch.isnan), ("infinite values", torch.isinf)):
        if wrong := [name for name in odd if _has(test, tensors[name]) and not (own and _has(test, own[name]))]:
            raise ModelError(f"{names_told(wrong)} {'holds' if len(wrong) == 1 else 'hold'} {what}")


def in_types(tensors: Tensors, own: Tensors) -> tuple[Tensors, tuple[str, ...]]:
    """The tensors in the model's types, and what was converted.

    Raises:
        ModelError: a value cannot be had in the model's type.
    """
    found: Tensors = {}
    kinds: dict[tuple[str, str], list[str]] = {}
    for name, value in tensors.items():
        wanted = own[name].dtype
        dense = value.to_dense() if value.layout is not torch.strided else value
        found[name] = dense.to(wanted)
        if value.layout is not torch.strided:
            kinds.setdefault((f"{value.layout}".removeprefix("torch."), "dense"), []).append(name)
        if value.dtype == wanted:
            continue
        kinds.setdefault((_type(value), _type(own[name])), []).append(name)
        exact = wanted.is_floating_point or torch.equal(found[name].double(), dense.double())
        finite = not value.is_floating_point() or bool((torch.isfinite(found[name]) | ~torch.isfinite(dense)).all())
        if not (exact and finite):
            raise ModelError(f"{name} holds {_type(value)} that {_type(own[name])} cannot hold")
    notes = [
        f"{names_told(names)}: converted from {was} to {now}"
        if len(names) < SHOWN
        else f"{len(names)} tensors converted from {was} to {now}"
        for (was, now), names in kinds.items()
    ]
    return found, tuple(notes)


# How


def _without_count(tensors: Tensors, own: Tensors) -> tuple[Tensors, list[str]]:
    """Without the number of averaged models that torch.optim.swa_utils keeps beside them."""
    if "n_averaged" not in tensors or "n_averaged" in own:
        return tensors, []
    rest = {name: value for name, value in tensors.items() if name != "n_averaged"}
    return rest, ["n_averaged left out: the weights are an average of several"]


def _head(model: nn.Module, own: Tensors, classes: int | None, heads: Sequence[str] = ()) -> list[str]:
    """Names of the parameters of the output layer, if it has a row per class: of what is known to be it, else of the
    last linear or conv layer."""
    layers = [name for name, module in model.named_modules() if isinstance(module, (nn.Linear, nn.Conv2d))]
    names = [name for name in own if name.rpartition(".")[0] in (heads or layers[-1:])]
    return names if classes is None or all(own[name].shape[:1] == (classes,) for name in names) else []


def _other_rows(tensor: torch.Tensor, own: torch.Tensor) -> bool:
    """Whether a tensor differs in the number of its rows alone."""
    return tensor.ndim == own.ndim > 0 and tensor.shape[1:] == own.shape[1:] and tensor.shape[0] != own.shape[0]


def _others(file: WeightFile, fresh: tuple[str, ...]) -> str:
    sizes = [value.shape[0] for name, value in file.tensors.items() if name.endswith(fresh) and value.ndim]
    return f"{sizes[0]} classes" if sizes else "none"


def _counts_batches(name: str) -> bool:
    return name.rpartition(".")[2] == "num_batches_tracked"  # of batch norm, which older files have not


def _plain_name(name: str) -> str:
    """The name of a weight of which a file has the original or the mask."""
    return re.sub(r"_(orig|mask)$", "", name)


def _beginnings(names: Iterable[str]) -> list[str]:
    """What most names begin with, of one part, of two, and so on."""
    split = [name.split(".")[:-1] for name in names]
    found: list[str] = []
    while split:
        depth = len(found) + 1
        counted = Counter(".".join(parts[:depth]) for parts in split if len(parts) >= depth)
        if not counted or counted.most_common(1)[0][1] * 2 <= len(split):
            break
        found.append(counted.most_common(1)[0][0])
    return found


def _tied(tensors: Tensors, own: Tensors) -> Tensors:
    """With what is one tensor in the model under both of its names, where the file has it once.

    Raises:
        ModelError: the file has two different ones.
    """
    places: dict[tuple[int, torch.Size], list[str]] = {}
    for name, value in own.items():
        if value.numel():
            places.setdefault((value.data_ptr(), value.shape), []).append(name)
    found = dict(tensors)
    for names in places.values():
        have = [name for name in names if name in tensors]
        if len(names) > 1 and have:
            first = tensors[have[0]]
            if any(tensors[name].shape != first.shape or not torch.equal(tensors[name], first) for name in have):
                raise ModelError(f"{' and '.join(have)} are one tensor in the model, and differ in the file")
            found |= dict.fromkeys(names, first)
    return found


def _kind(value: torch.Tensor) -> str:
    if value.is_quantized or "float8" in str(value.dtype) or "float4" in str(value.dtype):
        return "quantised"
    if value.is_complex():
        return "complex"
    return "float" if value.is_floating_point() else "quantised"


def _same_kind(own: Mapping[str, torch.Tensor] | None, name: str, kind: str) -> bool:
    """Whether the model holds a tensor of this kind under this name; of what it has not, misfit tells."""
    if own is None:
        return not name.rpartition(".")[2].startswith(("weight", "bias"))
    return name not in own or _kind(own[name]) == kind


def _is_finite(value: torch.Tensor) -> bool:
    return bool(torch.isfinite(value if value.layout is torch.strided else value.to_dense()).all())


def _has(test: Callable[[torch.Tensor], torch.Tensor], value: torch.Tensor) -> bool:
    return bool(test(value if value.layout is torch.strided else value.to_dense()).any())


def zeros_told(model: nn.Module, tensors: Tensors, masks: Masks) -> list[str]:
    """What to say of weights that are zero without a mask: training makes them anything."""
    weights = [name for name, value in model.named_parameters() if value.ndim > 1 and name in tensors]
    count = sum(tensors[name].numel() for name in weights)
    zero = sum(int((tensors[name] == 0).sum()) for name in weights if name not in masks)
    if count and zero / count >= 0.05:
        return [f"{100 * zero / count:.0f} % of its weights are zero without a mask: training does not keep them so"]
    return []


def _type(value: torch.Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")
