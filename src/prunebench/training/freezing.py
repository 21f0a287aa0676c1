"""Freezing: train the classifier alone, while the other parts stay in eval mode; or parameters of some names alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import nn

from prunebench.errors import ModelError


@contextmanager
def only_classifier(model: nn.Module, freeze: bool) -> Iterator[list[nn.Parameter]]:
    """Within it, if asked to, every top-level part but the last that has parameters is frozen; yields what is.

    Raises:
        ModelError: the model has a single part.
    """
    parts = [part for part in model.children() if any(True for _ in part.parameters())] if freeze else []
    if freeze and len(parts) < 2:
        raise ModelError("--freeze needs a model of several parts, the last of which is the classifier.")
    frozen = [parameter for part in parts[:-1] for parameter in part.parameters() if parameter.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(False)
    try:
        yield frozen
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)


@contextmanager
def only(model: nn.Module, trains: Callable[[str], bool] | None) -> Iterator[None]:
    """Within it parameters are frozen whose names `trains` does not say, where it is asked; modes stay as they are.

    Raises:
        ModelError: nothing would be trained.
    """
    named = [(name, each) for name, each in model.named_parameters() if each.requires_grad]
    frozen = [each for name, each in named if trains is not None and not trains(name)]
    if trains is not None and len(frozen) == len(named):
        raise ModelError("Of what pruning has left nothing is trained: choose another --retrain, or prune less.")
    for parameter in frozen:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)


def set_mode(model: nn.Module, frozen: list[nn.Parameter]) -> None:
    """Training mode, except for the top-level parts that are frozen: their batch norm and dropout stay in eval."""
    model.train()
    still = {id(parameter) for parameter in frozen}
    for part in model.children():
        parameters = list(part.parameters())
        if parameters and all(id(parameter) in still for parameter in parameters):
            part.eval()
