"""Movement: where weights go while the model is fine-tuned (Sanh et al. 2020, arXiv 2005.07683)."""

from __future__ import annotations

import torch
from torch import nn

from prunebench.models.taken_over import copied
from prunebench.pruning.registry import Finetune


def movement(model: nn.Module, finetune: Finetune) -> dict[str, torch.Tensor]:
    """−Σ w·g over the steps of a fine-tuning, by parameter: w as it was before a step, g the gradient of the loss of
    its batch, before it is clipped. A copy is fine-tuned, and the model stays as it is; parameters that are not trained
    are not among them."""
    learner = copied(model)
    found = {name: torch.zeros_like(p) for name, p in learner.named_parameters() if p.requires_grad}

    def watch(total: torch.Tensor, parameter: torch.Tensor) -> None:
        def add(p: torch.Tensor) -> None:
            assert p.grad is not None
            total.sub_(p.detach() * p.grad)

        parameter.register_post_accumulate_grad_hook(add)

    for name, total in found.items():
        watch(total, learner.get_parameter(name))
    with torch.enable_grad():
        finetune(learner)
    return found
