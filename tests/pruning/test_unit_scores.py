"""Scores of units are what is said of their weights' scores, and compare as is said."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from prunebench.errors import ConfigError
from prunebench.models.input_spec import InputSpec
from prunebench.pruning.registry import Request, criteria, methods
from prunebench.pruning.unit_scores import unit_scores
from prunebench.pruning.units.removable import find_removable

FOUR = InputSpec(kind="images", size=1)


@pytest.fixture
def small():
    """Two layers, whose weights are chosen: two units, each of two weights that make it and one that reads it."""
    model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Flatten(), nn.Linear(2, 2)).eval()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, -2.0, 0.0], [3.0, 1.0, 1.0]]).view(2, 3, 1, 1))
        model[2].weight.copy_(torch.tensor([[-4.0, 0.5], [2.0, 0.5]]))
    return model


def scored(model, criterion=lambda weight: weight, **about):
    groups = find_removable(model, FOUR).groups
    return unit_scores(model, groups, Request(0.5, criterion, FOUR, **about))[0]


@pytest.mark.parametrize(
    ("reduction", "told"),
    [
        (None, (-3, 6)),
        ("sum", (-3, 6)),
        ("mean", (-0.6, 1.2)),
        ("norm", (5, 11.5**0.5)),
        ("max", (2, 3)),
        ("abs-sum", (3, 6)),
    ],
)
def test_weights_are_reduced_to_units(small, reduction, told):
    assert scored(small, group_reduction=reduction) == pytest.approx(told)


@pytest.mark.parametrize(
    ("how", "told"),
    [("none", (9, 6)), ("mean", (1.2, 0.8)), ("max", (1, 2 / 3)), ("norm", (9 / 117**0.5, 6 / 117**0.5))],
)
def test_scores_of_a_group_are_divided_by_their_scale(small, how, told):
    assert scored(small, lambda weight: weight.abs(), group_normalisation=how) == pytest.approx(told)


def test_scores_below_zero_keep_their_order_and_those_that_are_all_zero_stay(small):
    assert scored(small, group_normalisation="mean") == pytest.approx((-3 / 4.5, 6 / 4.5))
    assert scored(small, lambda weight: weight * 0, group_normalisation="max") == [0, 0]
    infinite = lambda weight: torch.where(weight == 3, torch.inf, weight)  # noqa: E731
    assert scored(small, infinite, group_normalisation="mean") == [-1, float("inf")]


def test_a_criterion_that_squares_sums_up_otherwise_where_it_is_asked_to():
    taylor, method = criteria.get("taylor"), methods.get("structured")
    assert method.ranking(taylor) is taylor.unit
    assert method.ranking(taylor, "mean") is taylor.score
    with pytest.raises(ConfigError, match="--criterion bn-scale scores whole units: leave it out"):
        method.ranking(criteria.get("bn-scale"), "sum")


def test_a_model_is_not_changed_by_being_scored(small):
    before = copy.deepcopy(small.state_dict())
    scored(small, group_reduction="norm", group_normalisation="mean")
    assert all(torch.equal(before[name], value) for name, value in small.state_dict().items())
