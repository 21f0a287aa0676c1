"""Known layers: the attributes that say how large their parameters are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from prunebench.models.narrow_attention import NarrowAttention, narrow

Shape = tuple[int, ...]


def _linear(module: Any, before: dict[str, Shape]) -> None:
    module.out_features, module.in_features = module.weight.shape


def _conv(module: Any, before: dict[str, Shape]) -> None:
    weight, old = module.weight.shape, before.get("weight", tuple(module.weight.shape))
    if module.groups > 1:
        module.groups = weight[0] // (old[0] // module.groups)
    first, second = weight[0], weight[1] * module.groups
    module.in_channels, module.out_channels = (first, second) if module.transposed else (second, first)


def _norm(module: Any, before: dict[str, Shape]) -> None:
    own = module.weight if module.weight is not None else module.running_mean
    if own is not None:
        module.num_features = len(own)


def _group_norm(module: Any, before: dict[str, Shape]) -> None:
    if module.weight is not None:
        old = before.get("weight", tuple(module.weight.shape))
        module.num_groups = len(module.weight) // (old[0] // module.num_groups)
        module.num_channels = len(module.weight)


def _layer_norm(module: Any, before: dict[str, Shape]) -> None:
    if module.weight is not None:
        module.normalized_shape = tuple(module.weight.shape)


def _embedding(module: Any, before: dict[str, Shape]) -> None:
    module.num_embeddings, module.embedding_dim = module.weight.shape


def _prelu(module: Any, before: dict[str, Shape]) -> None:
    module.num_parameters = len(module.weight)


def _recurrent(module: Any, before: dict[str, Shape]) -> None:
    module.input_size, module.hidden_size = module.weight_ih_l0.shape[1], module.weight_hh_l0.shape[1]


def _attention(module: Any, before: dict[str, Shape]) -> None:
    inner = module.out_proj.weight.shape[1]
    reads = module.in_proj_weight if module.in_proj_weight is not None else module.q_proj_weight
    module.num_heads = inner // module.head_dim
    module.embed_dim = reads.shape[1]
    if not isinstance(module, NarrowAttention):
        narrow(module)


def _conv1d(module: Any, before: dict[str, Shape]) -> None:
    module.nx, module.nf = module.weight.shape


KNOWN: tuple[tuple[type[nn.Module], Callable[[Any, dict[str, Shape]], None]], ...] = (
    (nn.MultiheadAttention, _attention),
    (nn.Linear, _linear),
    (nn.modules.conv._ConvNd, _conv),
    (nn.modules.batchnorm._NormBase, _norm),
    (nn.GroupNorm, _group_norm),
    (nn.LayerNorm, _layer_norm),
    (nn.RMSNorm, _layer_norm),
    (nn.Embedding, _embedding),
    (nn.PReLU, _prelu),
    (nn.RNNBase, _recurrent),
)


def follow_sizes(module: nn.Module, before: dict[str, Shape]) -> None:
    """Set a layer's attributes to the sizes that its parameters have now.

    Args:
        before: shapes of those parameters that have changed, as they were.
    """
    for kind, follow in KNOWN:
        if isinstance(module, kind):
            follow(module, before)
            return
    if type(module).__name__ == "Conv1D" and hasattr(module, "nf"):  # of transformers, which need not be here
        _conv1d(module, before)
