"""The scales of batch norms rank channels; where there is none, that is said."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from prunebench.errors import ConfigError
from prunebench.pruning.criteria.bn_scale import bn_scale
from prunebench.pruning.methods import structured
from prunebench.pruning.registry import Request, criteria


def request(inputs, **about):
    return Request(0.25, criteria.get("slim").unit, inputs, **about)


def test_scales_count_by_their_size_and_several_norms_add_up():
    assert bn_scale(torch.tensor([[-2.0, 0.5], [1.0, 0.0]])).tolist() == [2.5, 1.0]


def test_the_channels_of_the_smallest_scales_go(tiny_net, images12):
    model = tiny_net(3)
    scales = torch.tensor([3.0, -0.1, 2.0, -4.0, 0.2, 5.0, 1.0, 1.0])
    with torch.no_grad():
        model.get_parameter("features.1.weight").copy_(scales)
    structured.prune(model, {}, request(images12, include=("features.0",)))
    assert model.get_parameter("features.1.weight").tolist() == scales[[0, 2, 3, 5, 6, 7]].tolist()


def test_layers_without_a_norm_are_named_with_what_to_do(tiny_net, images12):
    with pytest.raises(ConfigError, match=r"none scales what classifier\.1 makes: --exclude 'classifier\.1', or give"):
        structured.prune(tiny_net(3), {}, request(images12))
    structured.prune(tiny_net(3), {}, request(images12, exclude=("classifier.1",)))


def test_all_layers_without_a_norm_are_named_at_once(tiny_net, images12):
    model = tiny_net(3)
    model.features[5] = nn.Identity()
    named = r"classifier\.1, features\.4 make: --exclude 'classifier\.1' --exclude 'features\.4', or give"
    with pytest.raises(ConfigError, match=named):
        structured.prune(model, {}, request(images12))
    with pytest.raises(ConfigError, match="none scales what any layer makes that is pruned: give another criterion"):
        structured.prune(model, {}, request(images12, include=("classifier.1",)))
