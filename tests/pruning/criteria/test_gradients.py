"""Criteria of gradients: their formulas on a few numbers, and what they have in common."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from prunebench.pruning.criteria.fisher import fisher
from prunebench.pruning.criteria.snip import snip
from prunebench.pruning.criteria.taylor import taylor, taylor_abs, taylor_of_units

W, G = torch.tensor([0.1, -0.9, 0.2, 0.5]), torch.tensor([5.0, 1.0, -3.0, 0.5])


@pytest.mark.parametrize("score", [taylor, taylor_abs, snip])
def test_a_weight_scores_the_size_of_its_product_with_the_gradient(score):
    assert score(W, G).tolist() == pytest.approx([0.5, 0.9, 0.6, 0.25])


def test_a_unit_scores_the_square_of_the_sum_in_which_signs_cancel():
    scores = taylor_of_units(torch.stack([W, W.abs()]), torch.stack([G, G.abs()]))
    assert scores.tolist() == pytest.approx([(0.5 - 0.9 - 0.6 + 0.25) ** 2, 2.25**2])


def test_in_a_net_of_relus_without_biases_all_layers_have_the_same_sum():
    torch.manual_seed(0)
    layers = [
        nn.Linear(5, 8, bias=False),
        nn.ReLU(),
        nn.Linear(8, 6, bias=False),
        nn.ReLU(),
        nn.Linear(6, 3, bias=False),
    ]
    model = nn.Sequential(*layers)
    F.cross_entropy(model(torch.randn(20, 5)), torch.arange(20) % 3).backward()
    sums = [(p * p.grad).sum().item() for p in model.parameters()]
    assert sums == pytest.approx([sums[0]] * 3, rel=1e-4)
    weights, gradients = model[0].weight.detach(), model[0].weight.grad
    reading = taylor_of_units(model[2].weight.detach().T, model[2].weight.grad.T)
    assert torch.allclose(taylor_of_units(weights, gradients), reading, rtol=1e-3, atol=1e-12)


def test_fisher_is_the_square_of_the_weight_by_the_mean_square_of_the_gradient():
    assert fisher(W, torch.tensor([2.0, 1.0, 0.0, 4.0])).tolist() == pytest.approx([0.02, 0.81, 0, 1])
