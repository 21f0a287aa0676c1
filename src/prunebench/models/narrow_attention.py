"""Multi-head attention with fewer heads than its width has room for: torch's own asks for all of them."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn


class NarrowAttention(nn.MultiheadAttention):
    """torch's attention after heads, or channels of what it reads and gives, have been removed.

    Every size is that of its parameters; `head_dim` stays. The class is set on a module that exists.
    """

    def forward(  # noqa: PLR0917 (torch's own signature)
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        key_padding_mask: torch.Tensor | None = None,
        need_weights: bool = True,
        attn_mask: torch.Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """As torch's, with the same shapes in and out."""
        single = query.ndim == 2
        parts = [
            part[None] if single else part if self.batch_first else part.transpose(0, 1) for part in (query, key, value)
        ]
        q, k, v = (
            F.linear(part, weight, bias).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
            for part, weight, bias in zip(parts, self._weights(), self._biases(), strict=True)
        )
        mask = self._mask(q, k, attn_mask, key_padding_mask)
        dropout = self.dropout if self.training else 0.0
        weights = None
        if need_weights:
            scores = q @ k.transpose(-1, -2) / self.head_dim**0.5
            weights = (scores if mask is None else scores + mask).softmax(-1)
            out = F.dropout(weights, dropout, self.training) @ v
            weights = weights.mean(1) if average_attn_weights else weights
        else:
            out = F.scaled_dot_product_attention(q, k, v, mask, dropout)
        out = self.out_proj(out.transpose(1, 2).flatten(2))
        if single:
            return out[0], None if weights is None else weights[0]
        return out if self.batch_first else out.transpose(0, 1), weights

    def _weights(self) -> tuple[torch.Tensor, ...]:
        packed = self._parameters["in_proj_weight"]
        if packed is not None:
            return packed.chunk(3)
        return self.q_proj_weight, self.k_proj_weight, self.v_proj_weight

    def _biases(self) -> tuple[torch.Tensor | None, ...]:
        bias = self._parameters["in_proj_bias"]
        return (None, None, None) if bias is None else bias.chunk(3)

    def _mask(
        self, q: torch.Tensor, k: torch.Tensor, attention: torch.Tensor | None, padding: torch.Tensor | None
    ) -> torch.Tensor | None:
        total: torch.Tensor | None = None
        if attention is not None:
            total = _additive(attention, q.dtype)
            if total.ndim == 3:
                total = total.view(len(q), -1, *total.shape[1:])
        if padding is not None:
            own = _additive(padding, q.dtype).view(-1, 1, 1, k.shape[2])
            total = own if total is None else total + own
        return total


def _additive(mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    if mask.dtype != torch.bool:
        return mask.to(dtype)
    return torch.zeros_like(mask, dtype=dtype).masked_fill(mask, float("-inf"))


def supported(module: nn.MultiheadAttention) -> bool:
    """Whether heads can go: not where keys are added that belong to no input."""
    return module.bias_k is None and not module.add_zero_attn


def narrow(module: Any) -> None:
    """Make torch's attention one of any number of heads."""
    module.__class__ = NarrowAttention
    module._qkv_same_embed_dim = False  # or an encoder layer around it takes its fast path
