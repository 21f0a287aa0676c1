"""InputSpec: what one batch of a model's input looks like, as data, so that a model can be traced without its data."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from prunebench.errors import ModelError, PrunebenchError
from prunebench.models.outputs import batch_of, choice_of, scores_in, told
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
    """Call the model on a batch; its scores, the batch first, of all that it returns (see `outputs.Choice`).

    Raises:
        ModelError: it returns nothing of the name that was chosen.
    """
    out = model(**inputs) if isinstance(inputs, dict) else model(inputs)
    if not hasattr(out, "ndim"):
        out = scores_in(out, choice_of(model), batch_of(inputs))
    output: torch.Tensor = out
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


def check_forward(
    model: nn.Module, inputs: InputSpec, problem: Callable[[tuple[int, ...]], str], name: str, hint: str = ""
) -> None:
    """Raise ModelError unless the model turns an example into finite values, whose shape has no `problem`.

    `hint` says what else can be done where it fails.
    """
    import torch

    try:
        output = outputs(model, inputs, 1)
    except PrunebenchError:
        raise
    except Exception as error:  # a user's model fails in its own ways
        raise ModelError(f"{name} does not run on {inputs.text()}: {_why(error, hint)}.{hint}") from error
    if not isinstance(output, torch.Tensor):
        raise ModelError(
            f"{name} returns {told(output)}; its scores of each class are none of that. Have its forward return them, "
            f"before any softmax, or name them: --output KEY."
        )
    key = choice_of(model).key
    if wrong := problem(shape := tuple(output.shape)):
        which = f" as {key}" if key else ""
        raise ModelError(f"{name} returns shape {shape}{which} for one of {inputs.text()}; {wrong}.")
    if not torch.isfinite(output).all():
        raise ModelError(
            f"{name} returns NaN or infinite values for one of {inputs.text()}: its weights, or what its normalisation "
            f"layers hold, are too large, negative where they may not be, or were never set."
        )
    if key and _returns_one(model, inputs):
        raise ModelError(f"--output {key}: {name} returns one tensor, so there is nothing to choose. Leave it out.")


def check_training(model: nn.Module, inputs: InputSpec, name: str, hint: str = "") -> None:
    """Raise ModelError where a model fails on two examples while it trains, or returns no scores then."""
    import torch

    learner = copied(model).train()
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            output = output_of(learner, inputs.example(2))
    except PrunebenchError:
        raise
    except Exception as error:  # a user's model fails in its own ways
        raise ModelError(f"{name} does not train on {inputs.text()}: {_why(error, hint)}.{hint}") from error
    if not isinstance(output, torch.Tensor):
        raise ModelError(
            f"{name} returns {told(output)} while it trains; its scores of each class are none of that. Have its "
            f"forward return them, in training as well, or name them: --output KEY."
        )


def _why(error: Exception, hint: str) -> str:
    """What went wrong, and in which line, unless that is a library's, of whose models `hint` knows more."""
    return f"{type(error).__name__}: {' '.join(str(error).split()).rstrip('.')}" if hint else failure(error)


def _returns_one(model: nn.Module, inputs: InputSpec) -> bool:
    """Whether a model returns a single tensor, in training too."""
    import torch

    def one(module: nn.Module) -> bool:
        example = inputs.example(2)
        return hasattr(module(**example) if isinstance(example, dict) else module(example), "ndim")

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        return one(copied(model).eval()) and one(copied(model).train())


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
