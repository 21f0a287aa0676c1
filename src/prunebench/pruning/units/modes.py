"""Recordings of a model in evaluation and in training, where that differs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from prunebench.errors import ModelError
from prunebench.pruning.units.record import Graph, call, record

STILL = ("Norm", "Dropout", "DropPath", "DropBlock", "StochasticDepth")
"""Modules with these words in their class's name stay in evaluation: what they do in training is no other path."""


def recordings(model: nn.Module, inputs: Any) -> tuple[list[Graph], int]:
    """One graph, or two if the model does something else in training; and how many passes it took.

    Raises:
        ModelError: the model does not run on the inputs.
    """
    with preserved(model):
        model.eval()
        try:
            if any(isinstance(p, nn.parameter.UninitializedParameter) for p in model.parameters()):
                with torch.no_grad():
                    call(model, inputs)
            forgetful(model)
            graphs = [record(model, inputs)]
            if graphs[0].calls:
                _compare(graphs[0], record(model, inputs))
        except Exception as error:  # of a model of anybody's
            raise ModelError(f"The model does not run on the example input: {type(error).__name__}: {error}") from error
        training(model)
        try:
            other = record(model, inputs)
        except Exception:  # a model that needs more than this to train (two samples, targets)
            return graphs, 2
        if other.signature() != graphs[0].signature():
            graphs.append(other)
    return graphs, 3


def _compare(first: Graph, second: Graph) -> None:
    """Where a module asks for other sizes in its second pass, as one may that keeps something, no call is known."""
    for path in first.forwards:
        mine, other = ([call.sizes for call in graph.calls if call.module == path] for graph in (first, second))
        if mine != other or first.forwards[path] != second.forwards.get(path):
            first.forwards[path] = 0


def training(model: nn.Module) -> None:
    """Training mode, in which norms, dropout and parametrizations stay as in evaluation."""
    model.train()
    for name, module in model.named_modules():
        if any(word in type(module).__name__ for word in STILL) or "parametrizations" in name:
            module.eval()


def forgetful(model: nn.Module) -> None:
    """Have a model forget what it has kept of its parameters for evaluation, as switching to training does."""
    modes = {module: module.training for module in model.modules()}
    model.train()
    model.eval()
    for module, mode in modes.items():
        module.training = mode


@contextlib.contextmanager
def preserved(model: nn.Module) -> Iterator[None]:
    """Modes, buffers and random states are as before afterwards."""
    modes = {module: module.training for module in model.modules()}
    buffers = {name: buffer.detach().clone() for name, buffer in model.named_buffers()}
    state = torch.get_rng_state()
    try:
        yield
    finally:
        torch.set_rng_state(state)
        for module, mode in modes.items():
            module.training = mode
        with torch.no_grad():
            for name, buffer in model.named_buffers():
                if name in buffers and buffer.shape == buffers[name].shape:
                    buffer.copy_(buffers[name])
