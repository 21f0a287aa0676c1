"""InputSpec: what one batch of a model's input looks like, as data, so that a model can be traced without its data."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from prunebench.errors import ModelError
from prunebench.models.taken_over import copied
from prunebench.user_code import failure

if TYPE_CHECKING:
    import torch
    from torch import nn


class InputSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Shape of a model's input.

    images: float32 of shape (batch, channels, size, size). text: token ids and attention mask, int64 of shape
    (batch, length), ids below `vocabulary`. `mean` and `std` are what images, scaled to 0 to 1, are normalised with.
    """

    kind: Literal["images", "text"]
    channels: int = 3
    size: int = 0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    vocabulary: int = 0
    length: int = 0

    def text(self) -> str:
        """`32×32 images`, or `sentences of 64 tokens`."""
        return f"{self.size}×{self.size} images" if self.kind == "images" else f"sentences of {self.length} tokens"

    def example(self, batch: int = 1, seed: int = 0) -> Any:
        """A random batch: a tensor for images, a dict of tensors for text, every sentence of full length."""
        import torch

        generator = torch.Generator().manual_seed(seed)
        if self.kind == "images":
            return torch.randn(batch, self.channels, self.size, self.size, generator=generator)
        ids = torch.randint(0, self.vocabulary, (batch, self.length), generator=generator)
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def output_of(model: nn.Module, inputs: Any) -> torch.Tensor:
    """Call the model on a batch; its output, the batch first. Models of transformers return an object with logits."""
    out = model(**inputs) if isinstance(inputs, dict) else model(inputs)
    output: torch.Tensor = out.logits if hasattr(out, "logits") else out
    return output


def outputs(model: nn.Module, inputs: InputSpec, batch: int) -> torch.Tensor:
    """What a model returns for a random batch, without dropout; the model is left as it was."""
    import torch

    training = model.training
    try:
        with torch.no_grad():
            return output_of(model.eval(), inputs.example(batch))
    finally:
        model.train(training)


def check_forward(model: nn.Module, inputs: InputSpec, problem: Callable[[tuple[int, ...]], str], name: str) -> None:
    """Raise ModelError unless the model turns an example into finite values, whose shape has no `problem`."""
    import torch

    try:
        output = outputs(model, inputs, 1)
    except Exception as error:  # a user's model fails in its own ways
        raise ModelError(f"{name} does not run on {inputs.text()}: {failure(error)}.") from error
    if not isinstance(output, torch.Tensor):
        raise ModelError(
            f"{name} returns {_kind(output)}; a model returns one tensor, its scores of each class before any softmax. "
            f"Have its forward return that alone."
        )
    if wrong := problem(shape := tuple(output.shape)):
        raise ModelError(f"{name} returns shape {shape} for one of {inputs.text()}; {wrong}.")
    if not torch.isfinite(output).all():
        raise ModelError(
            f"{name} returns NaN or infinite values for one of {inputs.text()}: its weights, or what its normalisation "
            f"layers hold, are too large, negative where they may not be, or were never set."
        )


def check_training(model: nn.Module, inputs: InputSpec, name: str) -> None:
    """Raise ModelError where a model fails on two examples while it trains, or returns more than its scores then."""
    import torch

    learner = copied(model).train()
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            output = output_of(learner, inputs.example(2))
    except Exception as error:  # a user's model fails in its own ways
        raise ModelError(f"{name} does not train on {inputs.text()}: {failure(error)}.") from error
    if not isinstance(output, torch.Tensor):
        raise ModelError(
            f"{name} returns {_kind(output)} while it trains; a model returns one tensor, its scores of each class. "
            f"Have its forward return that alone, in training as well."
        )


def _kind(output: Any) -> str:
    """`a tuple of 2`, or `dict`."""
    if isinstance(output, (tuple, list)):
        return f"a {type(output).__name__} of {len(output)}"
    return type(output).__name__


def trains_on_one(model: nn.Module, inputs: InputSpec) -> bool:
    """Whether a model can be trained on a batch of one sample; batch norm over a single value cannot."""
    import torch

    try:
        with torch.no_grad():
            output_of(copied(model).train(), inputs.example())
    except ValueError as error:
        return "more than 1 value per channel" not in str(error)
    return True


def to(inputs: Any, *args: Any, **kwargs: Any) -> Any:
    """`Tensor.to` for a batch of either kind; a dtype is applied to images alone, since token ids are indices."""
    if isinstance(inputs, dict):
        kwargs = {key: value for key, value in kwargs.items() if key == "device"}
        return {name: tensor.to(*args, **kwargs) for name, tensor in inputs.items()}
    return inputs.to(*args, **kwargs)
