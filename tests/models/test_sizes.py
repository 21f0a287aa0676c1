"""A pruned model is data: a full one gets its sizes, and data that does not fit is refused."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from prunebench.errors import RunError
from prunebench.models.sizes import Sizes, restore
from prunebench.pruning.units.find import find
from prunebench.pruning.units.removal import remove, shapes_of, shares, sizes_of


def build():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.GroupNorm(4, 8),
        nn.Conv2d(8, 16, 3, groups=4),
        nn.BatchNorm2d(16),
        nn.PReLU(16),
        nn.ConvTranspose2d(16, 6, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 2),
    )


@pytest.fixture
def images():
    return torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def pruned(images):
    model = build().eval()
    full = shapes_of(model)
    groups = find(model, images).groups
    remove(model, groups, shares(groups, 0.5))
    return model, sizes_of(model, full)


def test_a_full_model_becomes_the_pruned_one(images):
    model, sizes = pruned(images)
    again = build().eval()
    restore(again, Sizes.from_json(json.loads(json.dumps(sizes.to_json()))))
    again.load_state_dict(model.state_dict())
    assert torch.equal(again(images), model(images))
    assert [str(part) for part in again] == [str(part) for part in model]
    assert again[2].groups == 2


DAMAGED = [
    ({}, "shapes and attributes are missing"),
    ({"shapes": {"0.weight": "8"}, "attributes": {}}, "not positive integers"),
    ({"shapes": {"0.weight": [0, 3, 3, 3]}, "attributes": {}}, "not positive integers"),
    ({"shapes": {}, "attributes": {"": {"training": True}}}, "not positive integers"),
    ({"shapes": {}, "attributes": {"0": 3}}, "not positive integers"),
]


@pytest.mark.parametrize(("data", "problem"), DAMAGED)
def test_data_that_holds_anything_else_is_refused(data, problem):
    with pytest.raises(RunError, match=problem):
        Sizes.from_json(data)


FOREIGN = [
    (Sizes({"0.weight": [9, 3, 3, 3]}), "0.weight cannot become"),
    (Sizes({"0.weight": [4, 3]}), "0.weight cannot become"),
    (Sizes({"nothing": [4]}), "has no 'nothing'"),
    (Sizes({}, {"0": {"__class__": 1}}), "has no '__class__'"),
    (Sizes({}, {"0": {"forward": 1}}), "has no 'forward'"),
    (Sizes({}, {"0": {"out_channels": 9}}), "would grow"),
]


@pytest.mark.parametrize(("sizes", "problem"), FOREIGN)
def test_sizes_of_another_model_are_refused(sizes, problem):
    with pytest.raises(RunError, match=problem):
        restore(build(), sizes)


class Blurred(nn.Module):
    """A depthwise convolution with a filter that is no part of the state."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 8, 3), nn.Linear(8, 2)
        self.register_buffer("filter", torch.arange(72.0).view(8, 1, 3, 3), persistent=False)

    def forward(self, x):
        return self.head(nn.functional.conv2d(self.conv(x), self.filter, groups=len(self.filter)).mean((2, 3)))


def test_a_buffer_that_is_cut_becomes_part_of_the_state(images):
    model = Blurred().eval()
    full = shapes_of(model)
    remove(model, find(model, images).groups, {"conv": [0, 3]})
    again = Blurred().eval()
    restore(again, Sizes.from_json(json.loads(json.dumps(sizes_of(model, full).to_json()))))
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.filter, torch.arange(72.0).view(8, 1, 3, 3)[[1, 2, 4, 5, 6, 7]])
    assert torch.equal(again(images), model(images))
