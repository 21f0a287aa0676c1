"""Random scores are uniform and depend on the generator alone."""

from __future__ import annotations

import torch

from prunebench.pruning.criteria.random import random


def scores(seed: int, value: float = 0.0) -> torch.Tensor:
    return random(torch.full((100, 100), value), torch.Generator().manual_seed(seed))


def test_scores_follow_the_generator_and_not_the_weights():
    assert torch.equal(scores(1), scores(1, value=7.0))
    assert not torch.equal(scores(1), scores(2))


def test_scores_are_uniform():
    drawn = scores(0)
    assert drawn.shape == (100, 100)
    assert drawn.min() >= 0
    assert drawn.max() < 1
    assert torch.histc(drawn, 10, 0, 1).sub(1000).abs().max() < 150  # five standard deviations
