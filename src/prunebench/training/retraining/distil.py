"""Distillation: fine-tune towards what the dense model answers (Hinton et al. 2015, arXiv 1503.02531).

loss = (1 − w) · task loss + w · T² · KL(softmax(teacher / T) ‖ softmax(student / T)), a mean over a batch's samples.
Where a sample may have several labels, KL is that of sigmoids, a mean over labels. The teacher is the dense model, in
evaluation mode; T is --distil-temperature and w --distil-weight.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from prunebench.data.task import Objective
from prunebench.training.policies import Policy, policies, untuned
from prunebench.training.retraining.finetune import recipe

if TYPE_CHECKING:
    import torch
    from torch import nn

    from prunebench.training.policies import Loss


def loss(
    objective: Objective, teacher: Callable[[], nn.Module], distil_temperature: float, distil_weight: float
) -> Loss:
    """The loss of student's logits of shape (batch, classes)."""
    import torch

    from prunebench.models.input_spec import output_of

    model = teacher()

    def mixed(inputs: Any, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            answers = output_of(model, inputs)
        apart = objective.divergence(output, answers.detach(), distil_temperature)
        return (1 - distil_weight) * objective.loss(output, target) + distil_weight * distil_temperature**2 * apart

    return mixed


def lacks(model: nn.Module, objective: Objective) -> str:
    """That the task is not to tell classes apart; empty where it is."""
    return "" if "classes" in objective.arguments else "it compares answers to classes, which this task has none of"


policies.add(
    "distil",
    Policy(
        "distil",
        "fine-tune towards the answers of the dense model, w·T²·KL + (1−w)·loss (Hinton et al. 2015, arXiv 1503.02531)",
        recipe,
        loss=loss,
        unfit=untuned,
        lacks=lacks,
    ),
)
