"""Matrices of a group hold what goes with each unit, a row each."""

from __future__ import annotations

import torch

from prunebench.pruning.evidence.of_units import of_group
from prunebench.pruning.methods import structured


def group(model, inputs, request_for):
    return structured.groups_of(model, request_for(inputs, include=("features.0",)))[0]


def test_filters_are_what_makes_a_unit_and_weights_are_all(tiny_net, images12, request_for):
    model = tiny_net(3)
    made, read = (model.get_parameter(f"features.{i}.weight").detach() for i in (0, 4))
    first = group(model, images12, request_for)
    assert torch.equal(of_group("filters", model, first, {}), made.flatten(1))
    rows = of_group("weights", model, first, {})
    assert rows.shape == (8, 3 * 9 + 12 * 9)
    assert torch.allclose(rows.double().sum(1), made.double().sum((1, 2, 3)) + read.double().sum((0, 2, 3)))
    assert torch.equal(of_group("scales", model, first, {})[:, 0], model.get_parameter("features.1.weight"))


def test_gradients_stand_where_their_weights_do(tiny_net, images12, request_for):
    model = tiny_net(3)
    evidence = {"gradient": {name: 2 * p.detach() for name, p in model.named_parameters()}}
    first = group(model, images12, request_for)
    assert torch.equal(of_group("gradients", model, first, evidence), 2 * of_group("weights", model, first, {}))


def test_after_a_flatten_all_columns_of_a_channel_are_its_own(tiny_net, images12, request_for):
    model = tiny_net(3)
    last = structured.groups_of(model, request_for(images12, include=("features.4",)))[0]
    rows = of_group("weights", model, last, {})
    read = model.get_parameter("classifier.1.weight").detach()  # 12 channels of 2 × 2
    assert torch.allclose(rows.sum(1) - of_group("filters", model, last, {}).sum(1), read.view(16, 12, 4).sum((0, 2)))
