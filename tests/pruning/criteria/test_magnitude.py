"""Magnitude criteria rank by size, whatever the sign."""

from __future__ import annotations

import torch

from prunebench.pruning.criteria.magnitude import l1, l2


def test_l1_is_the_absolute_value():
    assert l1(torch.tensor([[-3.0, 0.5], [0.0, 2.0]])).tolist() == [[3.0, 0.5], [0.0, 2.0]]


def test_l2_summed_over_a_group_ranks_as_its_euclidean_norm():
    groups = torch.randn(20, 7, generator=torch.Generator().manual_seed(0))
    assert torch.equal(l2(groups).sum(1).argsort(), torch.linalg.vector_norm(groups, dim=1).argsort())


def test_the_two_disagree_on_groups_of_few_large_and_many_small_weights():
    peaked, flat = torch.tensor([3.0, 0, 0, 0]), torch.tensor([1.0, 1, 1, 1])
    assert l1(peaked).sum() < l1(flat).sum()
    assert l2(peaked).sum() > l2(flat).sum()
