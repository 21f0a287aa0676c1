"""Second derivatives of the mean loss of the calibration samples, by products of its Hessian H with vectors.

H·v is the gradient of ⟨g, v⟩, where g is the loss's gradient kept with its graph (Pearlmutter 1994): as exact as a
gradient, and no matrix is ever held. H is of all parameters together, in evaluation mode.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from prunebench.data.task import Task
from prunebench.errors import ConfigError
from prunebench.models.macs import taken_apart
from prunebench.pruning.evidence.losses import losses
from prunebench.seeding import generator

TOGETHER = 32
"""Samples that share their probes."""

PROBES = 4
"""Probes of each of these: 128 of 1,024 samples."""

Vector = Mapping[str, torch.Tensor]
"""A value for each parameter, by its name."""


def hessian_gradient(
    model: nn.Module, task: Task, samples: int, gradient: Vector, size: int
) -> dict[str, torch.Tensor]:
    """H·g, the gradient of ½‖g‖², by parameter, where g is the gradient of the mean loss of all samples."""
    found = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    with _differentiable_twice(model):
        for loss in losses(model, task, samples, size):
            for name, product in _Hessian(model, loss).times(gradient).items():
                found[name] += product
    return found


def hessian_diagonal(model: nn.Module, task: Task, samples: int) -> dict[str, torch.Tensor]:
    """An unbiased estimate of the diagonal of H, by parameter: the mean of v·Hv over vectors v of random signs
    (Hutchinson 1990; Bekas et al. 2007).

    Every 32 samples have `PROBES` vectors of their own, the same whenever it is asked; the variance of an estimate is
    the sum of the squares of its row of H beside the diagonal, divided by the number of vectors, at most. Of a diagonal
    H it is exact.
    """
    found = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    with _differentiable_twice(model):
        for i, loss in enumerate(losses(model, task, samples, TOGETHER)):
            hessian = _Hessian(model, loss)
            draw = generator(i, "probe")
            for _ in range(PROBES):
                probe = {name: _signs(p, draw) for name, p in model.named_parameters()}
                for name, product in hessian.times(probe).items():
                    found[name] += product * probe[name] / PROBES
    return found


def _signs(like: torch.Tensor, draw: torch.Generator) -> torch.Tensor:
    """1 or −1 at random, drawn on the CPU so that every device has the same."""
    return torch.randint(0, 2, like.shape, generator=draw).mul_(2).sub_(1).to(like.device, like.dtype)


class _Hessian:
    """The Hessian of a loss, whose graph it keeps."""

    def __init__(self, model: nn.Module, loss: torch.Tensor) -> None:
        self._parameters = dict(model.named_parameters())
        given: Sequence[torch.Tensor | None] = ()
        if loss.requires_grad:
            given = torch.autograd.grad(loss, list(self._parameters.values()), create_graph=True, allow_unused=True)
        found = zip(self._parameters, given, strict=False)
        self._gradients = {name: g for name, g in found if g is not None and g.requires_grad}

    def times(self, vector: Vector) -> dict[str, torch.Tensor]:
        """H·v by parameter; those are left out of which it is zero, as no gradient depends on them."""
        if not self._gradients:
            return {}
        for parameter in self._parameters.values():
            parameter.grad = None
        vectors = [vector[name] for name in self._gradients]
        # which, unlike torch.autograd.grad, passes no operator over that has no second derivative
        torch.autograd.backward(list(self._gradients.values()), vectors, retain_graph=True)
        return {name: p.grad for name, p in self._parameters.items() if p.grad is not None}


@contextlib.contextmanager
def _differentiable_twice(model: nn.Module) -> Iterator[None]:
    """Within, operators are those that have second derivatives; gradients that parameters hold are given back.

    Raises:
        ConfigError: an operator has none.
    """
    recurrent = any(isinstance(module, nn.RNNBase) for module in model.modules())
    cudnn = torch.backends.cudnn.flags(enabled=False) if recurrent else contextlib.nullcontext()
    held = [(parameter, parameter.grad) for parameter in model.parameters()]
    with taken_apart(model), sdpa_kernel(SDPBackend.MATH), cudnn:
        try:
            yield
        except (NotImplementedError, RuntimeError) as error:
            if "derivative" not in str(error) and "differentiate twice" not in str(error):
                raise
            raise ConfigError(
                f"The criterion asks for second derivatives, which an operator of this model does not have: "
                f"{' '.join(str(error).split())[:120]}. Give another criterion, such as fisher or taylor."
            ) from error
        finally:
            for parameter, gradient in held:
                parameter.grad = gradient
