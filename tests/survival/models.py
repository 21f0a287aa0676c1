"""Models as a user would bring them, with dropout, so that a lost generator state would show."""

from torch import nn


def cnn(classes):
    """Two convolutions with batch norm, dropout, and a classifier of two linear layers."""
    features = nn.Sequential(
        nn.Conv2d(3, 12, 3, padding=1),
        nn.BatchNorm2d(12),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout2d(0.1),
        nn.Conv2d(12, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
    )
    return nn.Sequential(features, nn.Sequential(nn.Dropout(0.3), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, classes)))


def bert(classes, config):
    """BERT of two small layers, with the dropout that it was published with."""
    from transformers import BertConfig, BertForSequenceClassification

    sizes = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    dropout = {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1, "max_position_embeddings": 32}
    return BertForSequenceClassification(BertConfig(**config, **sizes, **dropout, num_labels=classes))
