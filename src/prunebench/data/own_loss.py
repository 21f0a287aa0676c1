"""Own loss: a loss of the user's, which a Dataset carries, as training, criteria and evaluation take it.

It is a function, or a module, of (logits, targets): logits float32 of shape (batch, classes), before any softmax or
sigmoid; targets as labels are, int64 of shape (batch,), or float32 of shape (batch, classes) where a sample may have
several. It returns the loss of each sample, or of each sample and class, whose mean counts, or the mean of the batch, a
scalar. One that has an argument `reduction` is handed "none".

What is trained, what criteria differentiate and what is reported is the mean over samples, so the loss of a batch must
be the mean of its samples': that is tried before anything is trained.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from prunebench.data.own_code import called
from prunebench.errors import DataError, PrunebenchError
from prunebench.user_code import failure

CLOSE = 1e-4
"""By how much of it the loss of a batch may differ from the mean of its samples', as these are rounded otherwise."""


class OwnLoss:
    """A loss of the user's.

    Args:
        function: (logits, targets) → the loss of each sample, or their mean.

    Raises:
        DataError: it is a module with parameters, which nothing would train.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.name = called(function)
        if isinstance(function, nn.Module) and any(True for _ in function.parameters()):
            raise DataError(f"The loss {self.name} has parameters, which are not trained: make them buffers.")
        self._function = function
        self._on: dict[torch.device, Callable[..., Any]] = {}
        self._reduces = "reduction" in _parameters(function)

    def __call__(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The mean loss of a batch, float32, a scalar.

        Raises:
            DataError: the function fails, or returns something else.
        """
        more = {"reduction": "none"} if self._reduces else {}
        try:
            found = self._of(output.device)(output.float(), target, **more)
        except PrunebenchError:
            raise
        except Exception as error:
            raise DataError(f"The loss {self.name} failed: {failure(error)}. --debug shows more.") from error
        if not isinstance(found, torch.Tensor) or not found.is_floating_point():
            what = f"{found.dtype}" if isinstance(found, torch.Tensor) else type(found).__name__
            raise DataError(f"The loss {self.name} returned {what}: return a tensor of floats.")
        if found.ndim and len(found) != len(target):
            shape = "×".join(map(str, found.shape))
            raise DataError(
                f"The loss {self.name} returned a tensor of shape {shape} for {len(target)} samples: return a loss per "
                f"sample, or their mean."
            )
        return found.float().mean()

    def total(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The sum of the losses of a batch's samples, a scalar."""
        return self(output, target) * len(target)

    def check(self, targets: torch.Tensor, classes: int) -> None:
        """Raise DataError where it cannot be trained, or is no mean over samples, on drawn logits.

        Args:
            targets: of some samples.
            classes: values of a sample's output.
        """
        draw = torch.Generator().manual_seed(0)
        logits = torch.randn((len(targets), classes), generator=draw).requires_grad_()
        with torch.inference_mode(mode=False), torch.enable_grad():
            whole = self(logits, targets)
            if not whole.requires_grad:
                raise DataError(f"The loss {self.name} has no gradient: compute it of the logits, by torch alone.")
            parts = [self(logits[i : i + 1], targets[i : i + 1]).detach() for i in range(len(targets))]
        logits, whole, mean = logits.detach(), whole.detach(), torch.stack(parts).mean()
        if not torch.isfinite(whole):
            raise DataError(
                f"The loss {self.name} is {float(whole)} for logits between {float(logits.min()):.1f} and "
                f"{float(logits.max()):.1f}: it is handed logits, before any softmax or sigmoid."
            )
        if not torch.isclose(whole, mean, rtol=CLOSE, atol=CLOSE):
            raise DataError(
                f"The loss {self.name} of {len(targets)} samples is {float(whole):.4g}, and the mean of their own is "
                f"{float(mean):.4g}, so it would depend on batches: return a loss per sample, such as by "
                f'reduction="none".'
            )

    def swings(self, output: torch.Tensor, target: torch.Tensor, share: float) -> torch.Tensor:
        """By how much it may change per sample where every logit changes by this share of the largest, float32 of shape
        (batch,): to the first order, and twice that."""
        with torch.inference_mode(mode=False), torch.enable_grad():
            logits = output.detach().float().clone().requires_grad_()
            (slope,) = torch.autograd.grad(len(target) * self(logits, target.clone()), [logits])
        return 2 * share * output.float().abs().amax(1) * slope.abs().sum(1)

    def _of(self, device: torch.device) -> Callable[..., Any]:
        """The function with the tensors that it is given on a device."""
        if device not in self._on:
            self._on[device] = _placed(self._function, device)
        return self._on[device]


def _placed(thing: Any, device: torch.device) -> Any:
    if isinstance(thing, nn.Module):
        return copy.deepcopy(thing).to(device)
    if isinstance(thing, torch.Tensor):
        return thing.to(device)
    if isinstance(thing, partial):
        given = {name: _placed(value, device) for name, value in thing.keywords.items()}
        return partial(_placed(thing.func, device), *(_placed(value, device) for value in thing.args), **given)
    return thing


def _parameters(function: Callable[..., Any]) -> set[str]:
    """What a function may be handed by name, and has not been given yet."""
    given = set(function.keywords) if isinstance(function, partial) else set[str]()
    try:
        return set(inspect.signature(function).parameters) - given
    except (TypeError, ValueError):  # it is built in, or has no signature to look at
        return set()
