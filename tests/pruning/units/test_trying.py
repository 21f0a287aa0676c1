"""Attributes that may have to follow are those that the model reads while it runs."""

from __future__ import annotations

import torch
from torch import nn

from prunebench.pruning.units.find import find
from prunebench.pruning.units.trying import candidates, reads, tried


class Sliced(nn.Module):
    """Reads `width`, and has `depth` of the same value for nobody."""

    def __init__(self) -> None:
        super().__init__()
        self.width = self.depth = 8
        self.conv, self.head = nn.Conv2d(3, 8, 3), nn.Linear(8, 2)

    def forward(self, x):
        return self.head(self.conv(x)[:, : self.width].mean((2, 3)))


def test_what_is_read_is_noted_by_module_and_name_and_modules_are_as_before():
    model = nn.Sequential(Sliced(), nn.ReLU())
    with reads(model) as found:
        model(torch.zeros(1, 3, 4, 4))
    assert ("0", "width") in found
    assert ("0", "depth") not in found
    assert ("0.conv", "stride") in found
    assert [type(module) for module in model] == [Sliced, nn.ReLU]


def test_candidates_are_those_that_are_read():
    model = Sliced().eval()
    (group,) = find(model, torch.zeros(1, 3, 4, 4)).groups
    assert [each.attribute for each in candidates(model, group)] == ["width", "depth"]
    assert [each.attribute for each in candidates(model, group, frozenset({("", "width")}))] == ["width"]


def test_the_first_combination_that_is_right_is_taken():
    options = ["a", "b", "c"]
    assert tried(options, lambda some: True) == ("a", "b", "c")
    assert tried(options, lambda some: "a" not in some) == ("b", "c")
    assert tried(options, lambda some: some == ("c",)) == ("c",)
    assert tried(options, lambda some: False) is None
    assert tried([], lambda some: True) is None
