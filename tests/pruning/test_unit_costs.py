"""What goes with a unit is what the pruned model has less, exactly."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from prunebench.models.costs import macs, params
from prunebench.models.input_spec import InputSpec
from prunebench.pruning.methods import structured
from prunebench.pruning.unit_costs import macs_without, params_without, unit_costs
from prunebench.pruning.units.removable import find_removable, without


@pytest.mark.parametrize(("name", "size"), [("resnet18", 32), ("bert", 8)])
def test_counts_are_those_of_the_model_without_these_units(name, size, fresh, request_for):
    state = fresh(name, size)
    model, inputs = state.model, state.architecture.inputs
    found = find_removable(model, inputs)
    going = {group.name: 1 + group.units // 3 for group in found.groups if group.units > 1}
    doomed = {name: list(range(count)) for name, count in going.items()}
    pruned = without(copy.deepcopy(model), inputs, found.groups, found, doomed)
    request = request_for(inputs, removable=found)
    assert params_without(model, found.groups, going, request) == params(pruned) < params(model)
    assert macs_without(model, found.groups, going, request) == macs(pruned, inputs) < macs(model, inputs)


def test_costs_of_a_chain_are_those_of_arithmetic(request_for):
    parts = [nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 6, 3, stride=2, bias=False), nn.Flatten()]
    model = nn.Sequential(*parts, nn.Linear(6 * 4, 5), nn.ReLU(), nn.Linear(5, 2)).eval()
    inputs = InputSpec(kind="images", size=6)
    request = request_for(inputs, removable=find_removable(model, inputs))
    groups = {group.name: group for group in structured.groups_of(model, request)}
    names = ["0", "2", "4"]
    ordered = [groups[name] for name in names]
    by = {what: unit_costs(model, ordered, replace(request, by=what)) for what in ("params", "macs")}
    assert by["params"] == [27 + 1 + 6 * 9, 4 * 9 + 4 * 5, 24 + 1 + 2]
    assert by["macs"] == [36 * 27 + 4 * 6 * 9, 4 * 4 * 9 + 4 * 5, 24 + 2]


def test_units_are_ranked_by_score_per_cost(request_for):
    torch.manual_seed(0)
    wide = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = nn.Sequential(*wide, nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2)).eval()
    inputs = InputSpec(kind="images", size=8)
    found = find_removable(model, inputs)
    left = {}
    for by in ("units", "macs", "params"):
        pruned = copy.deepcopy(model)
        about = {"scope": "global", "group_normalisation": "mean", "by": by, "removable": found}
        request = request_for(inputs, 0.5, **about)
        structured.prune(pruned, {}, request)
        left[by] = {group.name: group.units for group in structured.groups_of(pruned, request)}
    assert left["macs"] == {"0": 1, "4": 7}  # a channel costs 1736 MACs, a neuron 10
    assert left["params"]["0"] <= left["units"]["0"]
    assert len({sum(each.values()) for each in left.values()}) == 1
