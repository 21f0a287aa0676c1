"""OWL: layers with more outliers keep more (Yin et al. 2023, arXiv 2310.05175).

An outlier is a weight whose |w|·‖x‖₂ is above M times the mean of its layer. A layer keeps 1 − S, and more or less than
that by at most 2λ by its share of outliers, scaled from the least to the most of the model onto [0, 2λ] and centred on
their mean, as the published code does. M is 5, and λ is 0.08. S is the share of the original weights that is gone after
this step. The paper shares among the blocks of a language model, which are of one size; here among layers, whose mean
is that over their weights, so that the sum is exact. A layer keeps no more than it has; the others share the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from prunebench.errors import ConfigError
from prunebench.pruning.shares import Scope, levelled, scopes

if TYPE_CHECKING:
    import torch

M = 5
LAMBDA = 0.08


def owl(
    left: Mapping[str, int],
    going: int,
    weights: Mapping[str, torch.Tensor],
    masks: Mapping[str, torch.Tensor],
    input_norms: Mapping[str, torch.Tensor],
) -> dict[str, int]:
    """How many weights go of each layer.

    Raises:
        ConfigError: what a layer is multiplied with is not known.
    """
    from prunebench.pruning.evidence import untold

    if missing := next((name for name in weights if name not in input_norms), None):
        raise ConfigError(untold(missing, "input_norm").replace("criterion", "scope"))
    ratio = {name: outliers((weight.abs() * input_norms[name])[masks[name]]) for name, weight in weights.items()}
    low, high = min(ratio.values()), max(ratio.values())
    more = {name: 2 * LAMBDA * (each - low) / (high - low) if high > low else 0.0 for name, each in ratio.items()}
    sizes = {name: weight.numel() for name, weight in weights.items()}
    stay = levelled(left, sizes, sum(left.values()) - going, more)
    return {name: left[name] - stay[name] for name in left}


def outliers(products: torch.Tensor) -> float:
    """The share of the |w|·‖x‖₂ of the weights that are left of a layer that is above M times their mean."""
    from prunebench.models.wide import doubled

    products = doubled(products)
    return float((products > M * products.mean()).double().mean()) if len(products) else 0.0


scopes.add(
    "owl",
    Scope("owl", "of weights: layers keep more by their share of outliers, |w|·‖x‖ > 5·mean (Yin et al. 2023)", owl),
)
