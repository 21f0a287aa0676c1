"""What can be removed is found and proved once; steps shrink it, in one process or in several."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from prunebench.errors import ConfigError
from prunebench.models.input_spec import InputSpec
from prunebench.pruning.units import removable
from prunebench.pruning.units.removable import find_removable, left_of, take

SMALL = InputSpec(kind="images", size=8)


def net():
    """Two convolutions and their head."""
    torch.manual_seed(0)
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 3), *head)


def content(groups):
    return {
        (group.name, group.units, part.parameter, part.dim, *part.index.tolist(), *part.unit.tolist())
        for group in groups
        for part in group.parts
    }


def test_what_is_left_is_the_same_whether_it_is_remembered_or_found_anew():
    model = net()
    found = find_removable(model, SMALL)
    for doomed in ({"0": [1, 4]}, {"0": [0], "3": [2]}, {"3": [0, 1]}):
        take(model, SMALL, found, doomed)
        anew = copy.deepcopy(model)  # which nothing is remembered of
        assert content(left_of(model, SMALL, found)) == content(left_of(anew, SMALL, found))
    assert [group.units for group in left_of(model, SMALL, found)] == [1, 3]


def test_a_group_stays_one_when_its_last_unit_is_left():
    model = net()
    found = find_removable(model, SMALL)
    take(model, SMALL, found, {"3": [0, 1, 2]})
    for each in (model, copy.deepcopy(model)):
        assert [(group.name, group.units) for group in left_of(each, SMALL, found)] == [("3", 1), ("0", 6)]


def test_a_single_unit_is_known_again_though_its_parts_could_be_told_apart():
    model = Gated().eval()
    found = find_removable(model, SMALL)
    heads = next(group for group in found.groups if group.units == 2)
    take(model, SMALL, found, {heads.name: [1]})
    (again,) = (group for group in left_of(copy.deepcopy(model), SMALL, found) if group.name == heads.name)
    assert again.units == 1
    assert content([again]) == content([group for group in left_of(model, SMALL, found) if group.name == heads.name])


class Gated(nn.Module):
    """Two heads of three channels, each scaled by a gate of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.value, self.gate, self.head = nn.Conv2d(3, 6, 3), nn.Conv2d(3, 2, 3), nn.Linear(6, 2)

    def forward(self, x):
        value = self.value(x).unflatten(1, (-1, 3))
        return self.head((value * self.gate(x).sigmoid()[:, :, None]).flatten(1, 2).mean((2, 3)))


def test_units_are_found_once_while_a_process_lasts(monkeypatch):
    model = net()
    found = find_removable(model, SMALL)

    def again(*about, **more):
        raise AssertionError("found again")

    monkeypatch.setattr(removable, "find", again)
    for _ in range(2):
        take(model, SMALL, found, {"0": [0]})
    assert model[0].out_channels == 4


class Counted(nn.Module):
    """Averages over as many channels as are written down: without some of them it would average otherwise."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 6, 1), nn.Linear(1, 2)

    def forward(self, images):
        return self.last((self.first(images).sum(1) / 6).mean((1, 2))[:, None])


def test_what_cannot_be_removed_alone_is_spared_with_a_reason():
    found = find_removable(Counted(), SMALL)
    assert found.groups == ()
    assert {name for each in found.spared for name in each.modules} >= {"first", "last"}
    assert all(each.reason for each in found.spared)


def test_a_step_that_is_not_exact_is_refused_before_anything_is_removed(monkeypatch):
    model = net()
    found = find_removable(model, SMALL)
    monkeypatch.setattr(
        removable, "check", lambda *about: "pruned and masked differ by 0.1" if "3" in about[3] else None
    )
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ConfigError, match=r"differ by 0\.1\): 3\. Spare them: --exclude 3\.$"):
        take(model, SMALL, found, {"0": [0], "3": [1]})
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_all_shares_are_proved():
    found = find_removable(net(), SMALL, (0.1, 0.9))
    assert [(group.name, group.units) for group in found.groups] == [("3", 4), ("0", 6)]
    assert found.largest < 1e-9
    assert not found.problem
