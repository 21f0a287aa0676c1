"""The pass over the calibration samples that gathers what the criterion of a step asks for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import nn

from prunebench.data.task import Task
from prunebench.errors import ConfigError
from prunebench.pruning.evidence import GRAM, OF_INPUTS, Evidence, untold
from prunebench.pruning.evidence.curvature import hessian_diagonal, hessian_gradient
from prunebench.pruning.evidence.flow import synaptic_flow
from prunebench.pruning.evidence.gram import Gram, gram_of, order_of
from prunebench.pruning.evidence.inputs import of_inputs
from prunebench.pruning.evidence.losses import losses
from prunebench.pruning.evidence.movement import movement
from prunebench.pruning.registry import Request, of_samples
from prunebench.pruning.shares import needs_of

BATCH = 32
"""Samples of one pass through the model, whatever the settings of training are, so that they change nothing."""


def evidence_for(model: nn.Module, request: Request, names: Sequence[str] | None = None) -> Evidence:
    """What the request's criterion and scope ask for of the model as it is, which stays so; of what weights read, that
    of these parameters alone.

    Raises:
        ConfigError: there is no training data to ask, or what it tells is not finite.
    """
    if request.evidence is not None:
        return request.evidence
    asked = [kind for kind in needs_of(request.criterion, request.scope) if kind != GRAM]
    found: dict[str, dict[str, torch.Tensor]] = {}
    if samples := of_samples(asked):
        if request.task is None:
            what = " and ".join(samples)
            raise ConfigError(f"The criterion asks for {what}, which takes training data; here is none.")
        found |= _of_samples(model, request.task, request.calibration, samples, names)
    if "movement" in asked:
        if request.finetune is None:
            raise ConfigError("The criterion asks for the movement of weights, and here is no fine-tuning to watch.")
        found["movement"] = movement(model, request.finetune)
    if "synaptic_flow" in asked:
        found["synaptic_flow"] = synaptic_flow(model, request.inputs)
    for kind in asked:
        for name, tensor in found[kind].items():
            if not torch.isfinite(tensor).all():
                raise ConfigError(f"The {kind} of {name} is not finite: the loss of the calibration samples overflows.")
    return found


def _of_samples(
    model: nn.Module, task: Task, samples: int, asked: Sequence[str], names: Sequence[str] | None
) -> dict[str, dict[str, torch.Tensor]]:
    found: dict[str, dict[str, torch.Tensor]] = {}
    with _evaluating(model):
        if set(asked) & {"gradient", "squared_gradient", "hessian_gradient"}:
            found |= _gradients(model, task, samples, squared="squared_gradient" in asked)
        if "hessian_gradient" in asked:
            found["hessian_gradient"] = hessian_gradient(model, task, samples, found["gradient"], BATCH)
        if "hessian_diagonal" in asked:
            found["hessian_diagonal"] = hessian_diagonal(model, task, samples)
        if of := set(asked) & set(OF_INPUTS):
            found |= of_inputs(model, task, of, samples, batch=BATCH, names=names)
    return found


def gram_for(model: nn.Module, request: Request, name: str, excluding: str | None = None) -> Gram:
    """What the weights of one parameter read, in the model as it is, which stays so.

    Args:
        excluding: the layer to exclude where that cannot be told; None: the parameter's.

    Raises:
        ConfigError: there is no training data, or what the weights read cannot be told or is not finite.
    """
    if request.task is None:
        raise ConfigError("The criterion asks for what weights read, which takes training data; here is none.")
    with _evaluating(model):
        found = gram_of(model, request.task, name, request.calibration, batch=BATCH, excluding=excluding)
    if found is None:
        raise ConfigError(untold(name, GRAM, excluding))
    if not all(torch.isfinite(part.gram).all() for part in found.parts):
        raise ConfigError(f"What {name} reads is not finite, or its squares are not.")
    return found


def order_for(model: nn.Module, request: Request, names: Sequence[str]) -> list[str]:
    """Names in the order in which the calibration samples meet these parameters; those that they do not meet last."""
    if request.task is None:
        return list(names)
    with _evaluating(model):
        met = order_of(model, request.task, request.calibration, batch=BATCH)
    return [name for name in met if name in names] + [name for name in names if name not in met]


def _gradients(model: nn.Module, task: Task, samples: int, squared: bool) -> dict[str, dict[str, torch.Tensor]]:
    """The gradient of the mean loss of some training samples, as training weighs classes, by parameter; with `squared`
    also the mean of each sample's squared gradient, for which samples pass one by one."""
    parameters = dict(model.named_parameters())
    sums = {name: torch.zeros_like(p, memory_format=torch.preserve_format) for name, p in parameters.items()}
    squares = {name: torch.zeros_like(s) for name, s in sums.items()} if squared else {}
    count = len(task.targets.some("train", samples))
    for loss in losses(model, task, samples, 1 if squared else BATCH):
        found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
        for name, gradient in zip(parameters, found, strict=True):
            if gradient is not None:
                sums[name] += gradient
                if squared:
                    squares[name] += gradient.square().mul_(count)
    return {"gradient": sums, "squared_gradient": squares} if squared else {"gradient": sums}


@contextlib.contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, in fp32, with a gradient of every parameter, frozen ones too; all is as before afterwards."""
    modes = {module: module.training for module in model.modules()}
    frozen = [parameter for parameter in model.parameters() if not parameter.requires_grad]
    device = next(model.parameters()).device.type
    try:
        model.eval()
        for parameter in frozen:
            parameter.requires_grad_(True)
        with torch.enable_grad(), torch.autocast(device, enabled=False):
            yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)
        for module, mode in modes.items():
            module.training = mode
