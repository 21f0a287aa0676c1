"""Outputs: which tensor of what a model returns are its scores, where it returns several.

A model keeps what was chosen as a plain attribute, which copies carry along and nothing of its code reads: it returns
what it always returned.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from prunebench.errors import ModelError
from prunebench.models.taken_over import CHOICE, copied

if TYPE_CHECKING:
    import torch
    from torch import nn

USUAL = "logits"
"""What models of transformers and torchvision call their scores."""

DEPTH = 3
"""Levels of tuples and dicts in each other that are looked into."""


@dataclasses.dataclass(frozen=True)
class Choice:
    """What is taken of a model's output: what `key` names, or where that is None `logits`, or else the first tensor of
    shape (batch, classes)."""

    key: str | None = None
    classes: int | None = None


def choose(model: nn.Module, choice: Choice) -> None:
    """Have a model know what is taken of its output."""
    model.__dict__[CHOICE] = choice


def choice_of(model: nn.Module) -> Choice:
    """What is taken of a model's output; the default of a model that was not told."""
    found: Choice = model.__dict__.get(CHOICE) or Choice()
    return found


def scores_in(out: Any, choice: Choice, batch: int) -> Any:
    """The scores in what a model returns for so many samples; all of it where nothing in it can be them.

    Raises:
        ModelError: it has nothing of the name that was chosen; the message says what there is.
    """
    if choice.key is None and hasattr(out, USUAL):
        return getattr(out, USUAL)
    parts = dict(_tensors(out))
    if choice.key is None:
        fitting = (part for part in parts.values() if _is_scores(part, batch, choice.classes))
        return parts[USUAL] if USUAL in parts else next(fitting, out)
    if choice.key in parts:
        return parts[choice.key]
    if isinstance(out, (tuple, list)) and choice.key in map(str, range(len(out))):  # a field of a namedtuple by number
        return out[int(choice.key)]
    raise ModelError(f"--output {choice.key}: the model returns no such tensor; it returns {told(out)}.")


def batch_of(inputs: Any) -> int:
    """How many samples a batch has; of one that is traced a symbol, which `len` would fix."""
    found: int = (next(iter(inputs.values())) if isinstance(inputs, dict) else inputs).shape[0]
    return found


def _is_scores(part: Any, batch: int, classes: int | None) -> bool:
    return bool(part.ndim == 2 and part.shape[1] == classes and part.shape[0] == batch)


def told(out: Any) -> str:
    """What a model returns, in words: `a tuple of 2: 0 (2×10), 1 (2×64×4×4)`."""
    kind = f"a {type(out).__name__} of {len(out)}" if isinstance(out, (tuple, list)) else type(out).__name__
    parts = [f"{name} ({'×'.join(map(str, part.shape)) or 'a number'})" for name, part in _tensors(out)]
    return f"{kind}: {', '.join(parts)}" if parts else kind


def left_out(model: nn.Module, example: Any, *, training: bool) -> tuple[str, ...]:
    """What a model returns beside its scores, and what of it is not trained therefore, a line each; the model and the
    generators stay as they were.

    Args:
        model: that returns something for the example.
        example: a batch of two or more.
        training: whether it is to be trained, and not only evaluated.
    """
    import torch

    learner = copied(model).train(training)
    with torch.random.fork_rng(devices=[]), torch.set_grad_enabled(training):
        out = learner(**example) if isinstance(example, dict) else learner(example)
        if isinstance(out, torch.Tensor):
            return ()
        scores = scores_in(out, choice_of(model), batch_of(example))
        parts = list(_tensors(out))
        others = [name for name, part in parts if part is not scores and part.is_floating_point()]
        if not others or not isinstance(scores, torch.Tensor):
            return ()
        used = next((name for name, part in parts if part is scores), USUAL)
        when = " while it trains" if training else ""
        note = (
            f"of what the model returns{when}, {used} is taken for its scores, and {', '.join(others)} left out; "
            f"--output KEY takes another"
        )
        return (note, *_untrained(learner, scores)) if training else (note,)


def _untrained(model: nn.Module, scores: torch.Tensor) -> Iterator[str]:
    """What of a model has no gradient of its scores."""
    import torch

    named = {name: value for name, value in model.named_parameters() if value.requires_grad}
    gradients = torch.autograd.grad(scores.float().sum(), list(named.values()), allow_unused=True)
    idle = [name for name, gradient in zip(named, gradients, strict=True) if gradient is None]
    if idle:
        count = sum(named[name].numel() for name in idle)
        modules = dict.fromkeys(name.partition(".")[0] for name in idle)
        yield f"not trained, since its scores do not need it: {count:,} parameters in {', '.join(modules)}"


def _tensors(out: Any, name: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Name → tensor of what a model returns: keys, fields and numbers, joined by dots where they are in each other."""
    if hasattr(out, "ndim"):
        yield name, out
    elif depth <= DEPTH:
        for key, part in _parts(out, depth):
            yield from _tensors(part, f"{name}.{key}" if name else str(key), depth + 1)


def _parts(out: Any, depth: int) -> Iterator[tuple[Any, Any]]:
    if isinstance(out, Mapping):
        yield from out.items()
    elif isinstance(out, (tuple, list)):
        yield from zip(getattr(out, "_fields", range(len(out))), out, strict=True)
    elif dataclasses.is_dataclass(out):
        yield from ((field.name, getattr(out, field.name)) for field in dataclasses.fields(out))
    elif depth == 0:  # an object of their own, but no cache of keys and values in one
        yield from ((key, value) for key, value in getattr(out, "__dict__", {}).items() if not key.startswith("_"))
