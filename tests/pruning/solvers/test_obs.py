"""OBS leaves the least squares of the columns that it keeps, and is what faster solvers come near to."""

from __future__ import annotations

import itertools

import pytest
import torch

from prunebench.pruning.solvers import obs, sparsegpt


def layer(seed, rows=4, columns=8, samples=30):
    draw = torch.Generator().manual_seed(seed)
    mixing = torch.randn(columns, columns, generator=draw).double() + torch.eye(columns)
    inputs = torch.randn(samples, columns, generator=draw).double() @ mixing
    return torch.randn(rows, columns, generator=draw).double(), inputs


def errors(weight, new, inputs):
    """By row."""
    return (inputs @ (weight - new).T).square().sum(0)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_least_squares_on_the_columns_kept_and_never_above_the_same_mask_alone(seed):
    weight, inputs = layer(seed)
    mask, new = obs.solve(weight, inputs.T @ inputs, 4)
    assert mask.sum(1).tolist() == [4] * 4
    for row, kept, own in zip(weight, mask, new, strict=True):
        solved = torch.linalg.lstsq(inputs[:, kept], inputs @ row).solution
        assert torch.allclose(own[kept], solved)
        assert not own[~kept].any()
    assert (errors(weight, new, inputs) <= errors(weight, weight * mask, inputs)).all()
    magnitude = weight.abs() >= weight.abs().sort(1).values[:, 4:5]
    fitted = torch.zeros_like(weight)
    for row, kept, own in zip(weight, magnitude, fitted, strict=True):
        own[kept] = obs.refit(row, inputs.T @ inputs, kept.nonzero()[:, 0])
    assert (errors(weight, fitted, inputs) <= errors(weight, weight * magnitude, inputs) + 1e-12).all()


@pytest.mark.parametrize("seed", range(5))
def test_the_first_weight_is_the_best_of_all_and_later_ones_the_best_then(seed):
    weight, inputs = layer(seed)
    left = torch.ones_like(weight, dtype=torch.bool)
    for _ in range(3):
        mask, new = obs.solve(weight, inputs.T @ inputs, 1, left)
        found = errors(weight, new, inputs)
        for row, kept, own in zip(weight, left, found, strict=True):
            tried = []
            for chosen in itertools.combinations(kept.nonzero()[:, 0].tolist(), int(kept.sum()) - 1):
                solved = torch.linalg.lstsq(inputs[:, list(chosen)], inputs @ row)
                tried.append(float((inputs[:, list(chosen)] @ solved.solution - inputs @ row).square().sum()))
            assert float(own) == pytest.approx(min(tried))
        left = mask


def test_of_columns_that_say_the_same_one_goes_at_no_cost_and_so_does_what_reads_zeros():
    weight, inputs = layer(0)
    inputs[:, 3] = 2 * inputs[:, 5]
    inputs[:, 6] = 0
    mask, new = obs.solve(weight, inputs.T @ inputs, 2)
    assert errors(weight, new, inputs).max() < 1e-9
    assert not mask[:, 6].any()


def test_sparsegpt_comes_near_it_in_the_mean_and_not_below():
    ours, theirs = [], []
    for seed in range(12):
        weight, inputs = layer(seed, 6, 12, 60)
        gram = inputs.T @ inputs
        mask, new = sparsegpt.solve(weight, gram, pattern=(6, 12))
        fitted = torch.zeros_like(weight)
        for row, kept, own in zip(weight, mask, fitted, strict=True):
            own[kept] = obs.refit(row, gram, kept.nonzero()[:, 0])
        assert (errors(weight, fitted, inputs) <= errors(weight, new, inputs) + 1e-9).all()
        theirs.append(float(errors(weight, new, inputs).sum()))
        ours.append(float(errors(weight, obs.solve(weight, gram, 6)[1], inputs).sum()))
    assert sum(ours) < sum(theirs)
