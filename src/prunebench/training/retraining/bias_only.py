"""Biases alone: what is called bias is fine-tuned (Ben Zaken et al. 2021, arXiv 2106.10199), and all else stays to the
bit.

That is every parameter whose own name is bias or begins or ends with it (bias, in_proj_bias, bias_ih_l0), so shifts of
norms too, and not their scales. Masks of biases hold. Statistics of batch norms, which are no parameters, go on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunebench.training.policies import Policy, policies, untuned
from prunebench.training.retraining.finetune import recipe

if TYPE_CHECKING:
    from torch import nn

    from prunebench.data.task import Objective


def is_bias(name: str) -> bool:
    """Whether a parameter of this name is a bias."""
    own = name.rpartition(".")[2]
    return own.endswith("bias") or own.startswith("bias_")


def lacks(model: nn.Module, objective: Objective) -> str:
    """That a model has no biases; empty where it has."""
    there = any(is_bias(name) and parameter.requires_grad for name, parameter in model.named_parameters())
    return "" if there else "the model has no biases"


policies.add(
    "bias-only",
    Policy(
        "bias-only",
        "fine-tune biases, and shifts of norms, alone (Ben Zaken et al. 2021, arXiv 2106.10199)",
        recipe,
        trains=is_bias,
        unfit=untuned,
        lacks=lacks,
    ),
)
