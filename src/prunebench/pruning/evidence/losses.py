"""The mean loss of the calibration samples, in parts: what all that is derived of it adds up."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from prunebench.data.task import Task
from prunebench.models.input_spec import output_of


def losses(model: nn.Module, task: Task, samples: int, size: int) -> Iterator[torch.Tensor]:
    """Scalars with a graph, each of `size` samples at most, whose sum is the mean loss of some training samples, as
    training weighs classes."""
    device = next(model.parameters()).device
    indices = task.targets.some("train", samples)
    total = task.objective.mass(task.targets["train"][indices])
    for inputs, targets in task.batches("train", indices.split(size), device):
        yield task.objective.mass(targets) / total * task.objective.loss(output_of(model, inputs), targets)
