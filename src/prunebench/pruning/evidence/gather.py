"""The pass over the calibration samples that gathers what the criterion of a step asks for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import nn

from prunebench.data.task import Task
from prunebench.errors import ConfigError
from prunebench.pruning.evidence import Evidence
from prunebench.pruning.evidence.curvature import hessian_diagonal, hessian_gradient
from prunebench.pruning.evidence.flow import synaptic_flow
from prunebench.pruning.evidence.inputs import KINDS, of_inputs
from prunebench.pruning.evidence.losses import losses
from prunebench.pruning.evidence.movement import movement
from prunebench.pruning.registry import Request, of_samples
from prunebench.pruning.shares import needs_of

BATCH = 32
"""Samples of one pass through the model, whatever the settings of training are, so that they change nothing."""


def evidence_for(model: nn.Module, request: Request) -> Evidence:
    """What the request's criterion and scope ask for of the model as it is, which stays so.

    Raises:
        ConfigError: there is no training data to ask, or what it tells is not finite.
    """
    if request.evidence is not None:
        return request.evidence
    asked = needs_of(request.criterion, request.scope)
    found: dict[str, dict[str, torch.Tensor]] = {}
    if samples := of_samples(asked):
        if request.task is None:
            what = " and ".join(samples)
            raise ConfigError(f"The criterion asks for {what}, which takes training data; here is none.")
        found |= _of_samples(model, request.task, request.calibration, samples)
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


def _of_samples(model: nn.Module, task: Task, samples: int, asked: Sequence[str]) -> dict[str, dict[str, torch.Tensor]]:
    found: dict[str, dict[str, torch.Tensor]] = {}
    with _evaluating(model):
        if set(asked) & {"gradient", "squared_gradient", "hessian_gradient"}:
            found |= _gradients(model, task, samples, squared="squared_gradient" in asked)
        if "hessian_gradient" in asked:
            found["hessian_gradient"] = hessian_gradient(model, task, samples, found["gradient"], BATCH)
        if "hessian_diagonal" in asked:
            found["hessian_diagonal"] = hessian_diagonal(model, task, samples)
        if of := set(asked) & set(KINDS):
            found |= of_inputs(model, task, of, samples, batch=BATCH)
    return found


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
