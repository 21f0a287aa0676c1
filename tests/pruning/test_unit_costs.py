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


def test_units_are_ranked_by_score_per_millisecond_that_is_given(request_for):
    parts = [nn.Conv2d(3, 4, 1, bias=False), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)]
    model = nn.Sequential(*parts, nn.ReLU(), nn.Linear(3, 2)).eval()
    with torch.no_grad():
        for layer, scale in ((0, 1.0), (4, 0.0), (6, 8.0)):  # a channel's squares sum up to 3, 12, 27, 48
            model[layer].weight.fill_(scale)
        model[0].weight.mul_(torch.arange(1, 5)[:, None, None, None])
        model[6].weight.copy_(torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]) * 4)  # a neuron's to 16, 64, 144
    inputs = InputSpec(kind="images", size=4)
    about = {"scope": "global", "by": "latency", "removable": find_removable(model, inputs)}
    left = []
    for costs in ({"0": 1.0, "4": 1.0}, {"0": 1.0, "4": 8.0}, {"0": 8.0, "4": 1.0}):
        pruned = copy.deepcopy(model)
        request = request_for(inputs, 3 / 7, costs=costs, **about)
        stays = structured.prune(pruned, {}, request).kept
        left.append((stays["0.weight"][0].tolist(), stays.get("4.weight", {}).get(0, torch.ones(3)).bool().tolist()))
    assert left == [
        ([False, False, True, True], [False, True, True]),  # 3, 12, 16
        ([False, True, True, True], [False, False, True]),  # 3, 16 / 8, 64 / 8
        ([False, False, False, True], [True, True, True]),  # 3 / 8, 12 / 8, 27 / 8
    ]
