"""Optimal brain damage: half the second derivative by the square of the weight."""

from __future__ import annotations

import torch

from prunebench.pruning.criteria.obd import obd
from prunebench.pruning.registry import criteria


def test_scores_are_halves_and_where_the_curvature_is_negative_a_weight_goes_first():
    scores = obd(torch.tensor([2.0, -3.0, 1.0]), torch.tensor([1.0, 2.0, -4.0]))
    assert scores.tolist() == [2.0, 9.0, -2.0]


def test_it_goes_by_the_name_of_the_matrix():
    assert criteria.get("hessian") is criteria.get("obd")
