"""FPGM sums up distances between filters."""

from __future__ import annotations

import pytest
import torch

from prunebench.pruning.criteria import fpgm as module
from prunebench.pruning.criteria.fpgm import fpgm
from prunebench.pruning.registry import criteria


def test_of_three_even_filters_the_middle_one_goes():
    filters = torch.tensor([3.0, 2.0, 0.1])[:, None].expand(3, 9)
    assert fpgm(filters).tolist() == pytest.approx([11.7, 8.7, 14.4])


@pytest.mark.parametrize("block", [1024, 16])
def test_distances_are_those_of_pairs_also_far_from_zero_and_in_blocks(block, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", block)
    filters = torch.randn(40, 6, generator=torch.Generator().manual_seed(0)) + 1000
    told = torch.stack([(filters.double() - each.double()).norm(dim=1).sum() for each in filters])
    assert torch.allclose(fpgm(filters), told, rtol=1e-9, atol=0)


def test_single_weights_are_not_scored():
    assert criteria.get("fpgm").score is None
