"""BERT for classification (Devlin et al. 2019) as transformers has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prunebench.models.architecture import register

if TYPE_CHECKING:
    from torch import nn

MINI = {
    "hidden_size": 256,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 1024,
    "max_position_embeddings": 512,
}
"""BERT-mini's size (Turc et al. 2019)."""


@register(
    "bert",
    "BERT for classification; BERT-mini's size unless --weights names another",
    reads="text",
    hub=True,
    keeps=("*.pooler",),
    tables=("bert.embeddings", *(f"bert.embeddings.{of}_embeddings" for of in ("word", "position", "token_type"))),
    defaults={
        "sequence_length": 128,
        "optimizer": "adamw",
        "lr": 5e-4,
        "schedule": "one-cycle",
        "batch_size": 64,
        "epochs": 10,
        "weight_decay": 0.01,
    },
    pretrained={
        "optimizer": "adamw",
        "lr": 1e-5,
        "schedule": "constant",
        "epochs": 10,
        "batch_size": 32,
        "finetune_optimizer": "sgd",
        "finetune_lr": 1e-4,
        "finetune_batch_size": 16,
    },
)
def bert(classes: int, config: dict[str, Any]) -> nn.Module:
    """transformers' BertForSequenceClassification of the given configuration; BERT-mini's where it is silent.

    Nothing is adapted. Attention is PyTorch's scaled dot product.
    """
    from transformers import BertConfig, BertForSequenceClassification

    return BertForSequenceClassification(
        BertConfig(**{**MINI, **config, "num_labels": classes, "attn_implementation": "sdpa"})
    )
