"""Units are ranked by the share of their activations that are not zero as their readers see them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from prunebench.errors import ConfigError
from prunebench.pruning.evidence.gather import evidence_for
from prunebench.pruning.evidence.of_units import of_group
from prunebench.pruning.methods import structured
from prunebench.pruning.registry import Request, criteria


def asked(inputs, task, **about):
    return Request(0.25, criteria.get("apoz").unit, inputs, task=task, calibration=50, **about)


def shares(read):
    return (read != 0).float().flatten(2).mean((0, 2))


def test_scores_are_shares_of_what_is_not_zero(tiny_net, tiny_task, images12):
    torch.manual_seed(0)
    model, request = tiny_net(3), asked(images12, tiny_task, include=("features.0", "features.4"))
    evidence = evidence_for(model, request)
    images, _ = next(tiny_task.batches("train", [tiny_task.targets.some("train", 50)], torch.device("cpu")))
    model.eval()
    read = {"features.0": model.features[:4](images), "features.4": model.features(images).view(50, 12, -1)}
    for group in structured.groups_of(model, request):
        scores = request.criterion(of_group("activation_zeros", model, group, evidence))
        assert 0 < scores.min() < scores.max() <= 1
        assert torch.allclose(scores, shares(read[group.name]), rtol=1e-5)


def test_channels_that_are_always_zero_go_first_and_those_that_never_are_last(tiny_net, tiny_task, images12):
    model = tiny_net(3)
    with torch.no_grad():
        model.get_parameter("features.1.weight")[[2, 5]] = 0
        model.get_parameter("features.1.bias")[[2, 5]] = torch.tensor([-1.0, 0.1])
    structured.prune(model, {}, asked(images12, tiny_task, include=("features.0",)))
    assert model.get_parameter("features.1.bias").count_nonzero() == 1
    assert model.get_parameter("features.1.bias").max().item() == pytest.approx(0.1)


def test_where_nothing_is_zero_that_is_said_before_anything_goes(tiny_net, tiny_task, images12):
    model = tiny_net(3)
    model.features[2] = nn.GELU()
    where = r"there are none, as behind GELU .* in what features\.0 makes: --exclude 'features\.0', or give another"
    with pytest.raises(ConfigError, match=where):
        structured.prune(model, {}, asked(images12, tiny_task))
    structured.prune(model, {}, asked(images12, tiny_task, exclude=("features.0",)))
