"""Wanda ranks weights by size and input within each output row."""

from __future__ import annotations

import torch
from torch import nn

from prunebench.pruning.criteria.wanda import wanda
from prunebench.pruning.granularity import read_pattern
from prunebench.pruning.matrices import one_row
from prunebench.pruning.methods import unstructured
from prunebench.pruning.registry import Request, criteria
from prunebench.pruning.selection import by_pattern, lowest_of_rows


def test_of_a_row_the_smallest_products_go_first():
    weight, norms = torch.tensor([[1.0, 2.0, 3.0, 4.0]]), torch.tensor([[100.0, 10.0, 1.0, 0.1]])
    stay = lowest_of_rows(wanda(weight, norms), one_row(weight), 2)
    assert (weight * stay).tolist() == [[1, 2, 0, 0]]


def test_of_two_in_four_with_equal_inputs_the_larger_weights_stay():
    weight = torch.arange(1.0, 9.0)[None]
    stay = by_pattern(wanda(weight, torch.ones(1, 8)), one_row(weight), read_pattern("2:4"))
    assert (weight * stay).tolist() == [[0, 0, 3, 4, 0, 0, 7, 8]]


def test_every_row_of_every_layer_loses_the_same_share_step_by_step(tiny_net, tiny_task, images12):
    model, masks = tiny_net(3), {}
    for step in range(2):
        request = Request(0.5, wanda, images12, task=tiny_task, seed=step, scope="row", calibration=20)
        masks = unstructured.prune(model, masks, request).masks
        for mask in masks.values():
            left = mask.flatten(1).sum(1)
            assert (left - 0.5 ** (step + 1) * mask[0].numel()).abs().max() <= 1


def test_in_a_linear_layer_the_scores_are_those_of_its_inputs(tiny_task, images12):
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 144, 3))
    request = Request(0.5, wanda, images12, task=tiny_task, calibration=30, scope=criteria.get("wanda").scope)
    before = model[1].weight.detach().clone()
    images, _ = next(tiny_task.batches("train", [tiny_task.targets.some("train", 30)], torch.device("cpu")))
    products = before.abs() * images.flatten(1).norm(dim=0)
    mask = unstructured.prune(model, {}, request).masks["1.weight"]
    for row, kept in zip(products, mask, strict=True):
        assert int(kept.sum()) == 216
        assert row[kept].min() >= row[~kept].max() * (1 - 1e-5)
