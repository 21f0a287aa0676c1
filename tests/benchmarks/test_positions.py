"""What a pruned model kept is read off its weights, whoever pruned it, and what is wrong shows."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import positions


def net():
    convs = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 5, 3)
    return nn.Sequential(convs[0], nn.BatchNorm2d(6), nn.Sigmoid(), convs[1], nn.Flatten(), nn.Linear(20, 4)).eval()


@pytest.fixture
def inputs():
    return torch.randn(2, 3, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def cut(model, keep, columns=None):
    """Keep some of the first layer's channels; of the second layer other columns, if told."""
    first, norm, second = model[0], model[1], model[3]
    first.weight, first.bias = nn.Parameter(first.weight[keep]), nn.Parameter(first.bias[keep])
    norm.weight, norm.bias = nn.Parameter(norm.weight[keep]), nn.Parameter(norm.bias[keep])
    norm.running_mean, norm.running_var = norm.running_mean[keep], norm.running_var[keep]
    second.weight = nn.Parameter(second.weight[:, columns or keep])
    return model


def pair(inputs):
    whole, pruned = net(), net()
    marks = positions.mark(whole)
    positions.settle(whole, inputs.float())
    pruned.load_state_dict(whole.state_dict())
    return whole, marks, pruned


def test_what_was_kept_is_read_off_the_weights(inputs):
    _, marks, pruned = pair(inputs)
    left = positions.kept(marks, cut(pruned, [0, 2, 5]))
    assert [axis.tolist() for axis in left["3.weight"]] == [[0, 1, 2, 3, 4], [0, 2, 5], [0, 1, 2], [0, 1, 2]]
    assert left["1.bias"][0].tolist() == [0, 2, 5]


def test_channels_that_are_cut_rightly_are_those_that_are_masked(inputs):
    whole, marks, pruned = pair(inputs)
    judged = positions.judge(whole, marks, cut(pruned, [0, 2, 5]), inputs)
    assert (judged.verdict, judged.difference < 1e-12) == ("equal", True)


WRONG = {
    "other columns": (lambda model: cut(model, [0, 2, 5], [0, 2, 4]), "by 0"),
    "another order": (lambda model: cut(model, [2, 0, 5]), "in another order"),
    "fewer outputs": (lambda model: setattr(model[5], "weight", nn.Parameter(model[5].weight[:3])), "does not run"),
}


@pytest.mark.parametrize("how", WRONG)
def test_what_is_cut_wrongly_differs(how, inputs):
    whole, marks, pruned = pair(inputs)
    WRONG[how][0](pruned)
    judged = positions.judge(whole, marks, pruned, inputs)
    assert judged.verdict == "differs"
    assert WRONG[how][1] in judged.why


def test_weights_that_were_changed_are_no_slices(inputs):
    whole, marks, pruned = pair(inputs)
    with torch.no_grad():
        pruned[0].weight[1, 1, 1, 1] += 1
    assert "0.weight" in positions.judge(whole, marks, pruned, inputs).why


def test_nothing_goes_where_nothing_went(inputs):
    assert positions.judge(*pair(inputs), inputs).verdict == "nothing goes"


def test_layers_that_a_tool_has_cut_apart_are_compared_one_by_one(inputs):
    whole, pruned = (nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 2)) for _ in range(2))
    for model in (whole, pruned):
        model[1].weight = model[0].weight
    marks = positions.mark(whole)
    pruned.load_state_dict(whole.state_dict())
    pruned[1].weight, pruned[1].bias = nn.Parameter(pruned[1].weight[1:]), nn.Parameter(pruned[1].bias[1:])
    pruned[2].weight = nn.Parameter(pruned[2].weight[:, 1:])
    assert positions.judge(whole, marks, pruned, inputs[:, 0]).verdict == "equal"


@pytest.mark.parametrize("dtype", positions.KINDS)
def test_weights_of_every_type_carry_their_positions(dtype):
    layer = nn.Linear(40, 50).to(dtype)
    own = positions.mark(layer)["weight"]
    ids = positions._ids(layer.weight.detach().reshape(-1), own)
    assert torch.equal(ids.long(), torch.arange(2000))
    assert len(layer.weight.unique()) == 2000
    assert 0.3 < float(layer.weight.detach().double().std()) * math.sqrt(40) < 3


def test_what_has_no_room_for_positions_is_told():
    with pytest.raises(positions.Unreadable, match="too few bits"):
        positions.mark(nn.Linear(200, 200).half())
