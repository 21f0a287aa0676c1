"""Batch norms' statistics computed anew; no weight is trained (Li et al. 2020, EagleEye, arXiv 2007.02491).

Mean and variance of every batch norm become means over batches of training samples, each weighted by its values, as
the batch has them with all norms normalising by the batch: the cumulative average of PyTorch, exact where the last
batch is short. Batches are as large as in the dense training; all else of the model is in evaluation mode, and images
are not augmented. A norm that the model does not call in evaluation keeps its statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from prunebench.training.optimizers import Recipe
from prunebench.training.policies import Policy, policies

if TYPE_CHECKING:
    import torch
    from torch import nn

    from prunebench.data.task import Batch, Objective
    from prunebench.models.checkpoint import Checkpoint


def recipe(tuned: Recipe) -> Recipe:
    """Nothing is trained."""
    return replace(tuned, epochs=0)


def start(
    state: Checkpoint,
    batches: Callable[[int], Iterable[Batch]],
    bn_samples: int,
    dense: Recipe,
    device: torch.device,
) -> None:
    """Compute the statistics anew.

    Raises:
        ModelError: a batch is too small.
    """
    import torch

    from prunebench.training.fit import autocast, forward

    model = state.model.eval()
    with torch.no_grad(), autocast(device, dense.dtype), averaging(model):
        for inputs, _ in batches(bn_samples):
            forward(model, inputs)


@contextmanager
def averaging(model: nn.Module) -> Iterator[None]:
    """Within it batch norms take their statistics from what they are called with, weighted by values per channel."""
    seen: dict[nn.Module, int] = {}

    def before(norm: Any, args: tuple[Any, ...]) -> None:
        if norm not in seen:
            norm.reset_running_stats()
        values = args[0].numel() // args[0].shape[1]
        seen[norm] = seen.get(norm, 0) + values
        norm.momentum = values / seen[norm]

    norms = norms_of(model)
    was = {norm: (norm.momentum, norm.training) for norm in norms}
    hooks = [norm.train().register_forward_pre_hook(before) for norm in norms]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for norm, (momentum, training) in was.items():
            norm.momentum = momentum
            norm.train(training)


def norms_of(model: nn.Module) -> list[Any]:
    """The batch norms of a model that keep statistics."""
    from torch.nn.modules.batchnorm import _BatchNorm

    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    return [norm for norm in norms if norm.running_mean is not None]


def lacks(model: nn.Module, objective: Objective) -> str:
    """That a model has no batch norms; empty where it has."""
    return "" if norms_of(model) else "the model has no batch norms that keep statistics"


policies.add(
    "bn-reestimate",
    Policy(
        "bn-reestimate",
        "statistics of batch norms computed anew, nothing is trained (Li et al. 2020, arXiv 2007.02491)",
        recipe,
        start,
        tunes=lambda epochs: False,
        lacks=lacks,
    ),
)
