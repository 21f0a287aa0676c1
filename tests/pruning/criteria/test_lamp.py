"""LAMP scores are those of the paper's formula."""

from __future__ import annotations

import pytest
import torch

from prunebench.pruning.criteria.lamp import lamp, lamp_of_units
from prunebench.pruning.methods import unstructured


def test_scores_are_squares_over_the_squares_that_are_not_smaller():
    scores = lamp(torch.tensor([[3.0, -1.0], [-4.0, 2.0]]))
    assert scores.flatten().tolist() == pytest.approx([9 / 25, 1 / 30, 1, 4 / 29])


def test_they_are_those_of_the_definition_written_out():
    weight = torch.randn(7, 5, generator=torch.Generator().manual_seed(0)).double()
    squares = weight.square()
    told = torch.stack([w / squares[squares >= w].sum() for w in squares.flatten()]).view(7, 5)
    assert torch.allclose(lamp(weight).double(), told, rtol=1e-6, atol=0)


def test_of_equal_weights_one_alone_scores_one_and_zeros_score_nothing():
    assert lamp(torch.tensor([2.0, -2.0, 0.0])).tolist() == [0.5, 1.0, 0.0]
    assert lamp(torch.zeros(3)).tolist() == [0, 0, 0]


def test_no_layer_is_emptied_however_small_its_weights(request_for, tiny_net, images12):
    model = tiny_net(3)
    with torch.no_grad():
        model.get_parameter("features.4.weight").mul_(1e-6)
    masks = unstructured.prune(model, {}, request_for(images12, 0.99, "lamp")).masks
    assert min(int(mask.sum()) for mask in masks.values()) >= 1


def test_units_are_scored_alike_by_the_squares_of_all_their_weights():
    weights = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0], [0.0, 4.0]])
    assert lamp_of_units(weights).tolist() == pytest.approx([1 / 30, 4 / 29, 9 / 25, 1])
