"""Wanda ranks weights by size and input within each output row."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from prunebench.pruning.criteria.wanda import wanda, wanda_of_units
from prunebench.pruning.methods import unstructured
from prunebench.pruning.registry import Request


def test_of_a_row_the_smallest_products_go_first():
    weight, norms = torch.tensor([[1.0, 2.0, 3.0, 4.0]]), torch.tensor([[100.0, 10.0, 1.0, 0.1]])
    scores = wanda(weight, norms, torch.zeros(1, 4, dtype=torch.int64))
    assert (weight * (scores > 0.5)).tolist() == [[1, 2, 0, 0]]
    assert scores.tolist() == [[0.875, 0.625, 0.375, 0.125]]


def test_with_equal_norms_it_is_magnitude_in_each_row():
    weight = torch.randn(6, 8, generator=torch.Generator().manual_seed(0))
    rows = 8 * torch.arange(6)[:, None].expand(6, 8)
    scores = wanda(weight, torch.ones(6, 8), rows)
    assert torch.equal(scores.argsort(1), weight.abs().argsort(1))
    columns = wanda(weight.T, torch.ones(8, 6), rows.T)
    assert torch.equal(columns, scores.T)


@pytest.mark.parametrize("scope", ["global", "layerwise"])
def test_every_row_of_every_layer_loses_the_same_share_step_by_step(scope, tiny_net, tiny_task, images12):
    model, masks = tiny_net(3), {}
    for step in range(2):
        request = Request(0.5, wanda, images12, task=tiny_task, seed=step, scope=scope, calibration=20)
        masks = unstructured.prune(model, masks, request).masks
        for mask in masks.values():
            left = mask.flatten(1).sum(1)
            assert (left - 0.5 ** (step + 1) * mask[0].numel()).abs().max() <= 1


def test_in_a_linear_layer_the_scores_are_those_of_its_inputs(tiny_task, images12):
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 144, 3))
    request = Request(0.5, wanda, images12, task=tiny_task, calibration=30)
    before = model[1].weight.detach().clone()
    images, _ = next(tiny_task.batches("train", [tiny_task.targets.some("train", 30)], torch.device("cpu")))
    products = before.abs() * images.flatten(1).norm(dim=0)
    mask = unstructured.prune(model, {}, request).masks["1.weight"]
    for row, kept in zip(products, mask, strict=True):
        assert int(kept.sum()) == 216
        assert row[kept].min() >= row[~kept].max() * (1 - 1e-5)


def test_units_score_the_sum_of_their_products():
    scores = wanda_of_units(torch.tensor([[1.0, -2.0], [3.0, 0.0]]), torch.tensor([[2.0, 1.0], [1.0, 9.0]]))
    assert scores.tolist() == [4, 3]
