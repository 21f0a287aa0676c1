"""What tests of starts share."""

from __future__ import annotations

import pytest
from torch import nn
from torch.nn.utils import prune as torch_prune

from prunebench.experiment.data import make_task
from prunebench.experiment.resolve import resolve
from prunebench.experiment.starts.opening import open_start


@pytest.fixture
def started():
    """Gives the start of a config, and the model that is made for its data."""

    def start_model(config):
        experiment = resolve(config)
        start = open_start(experiment)
        task = make_task(experiment, tokenizer=start.tokenizer, statistics=start.statistics)
        return start, start.make(task).model

    return start_model


def build_masked_net(classes):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model.append(nn.Linear(5, classes))
    torch_prune.random_unstructured(model[0], "weight", 54)
    torch_prune.random_unstructured(model[2], "weight", 36)
    return model


@pytest.fixture
def masked_net():
    """Builds a model with masks of torch.nn.utils.prune."""
    return build_masked_net
