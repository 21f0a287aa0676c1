"""SparseGPT does what a direct implementation of its recursion does, and loses less than magnitude."""

from __future__ import annotations

from statistics import mean, stdev

import pytest
import torch

from prunebench.pruning.solvers import sparsegpt


def layer(seed, rows=6, columns=10, samples=40):
    """A weight, and what it reads: columns that depend on each other, of different sizes."""
    draw = torch.Generator().manual_seed(seed)
    mixing = torch.randn(columns, columns, generator=draw) + torch.eye(columns)
    inputs = torch.randn(samples, columns, generator=draw).double() @ mixing.double()
    return torch.randn(rows, columns, generator=draw).double(), inputs


def error(weight, new, inputs):
    return float((inputs @ (weight - new).T).square().sum())


def directly(weight, gram, left, *, going, block, pattern):
    """The recursion as the paper derives it: of every column the inverse of the trailing matrix, computed anew."""
    weight, mask, columns = weight.clone(), left.clone(), weight.shape[1]
    damped = gram + 0.01 * gram.diagonal().mean() * torch.eye(columns).double()
    run = pattern[1] if pattern else block
    for j in range(columns):
        inverses = [torch.linalg.inv(damped[k:, k:]) for k in range(j, min(j + run, columns))]
        if j % run == 0:
            scores = torch.stack([weight[:, j + k] ** 2 / each[0, 0] for k, each in enumerate(inverses)], 1)
            scores[~mask[:, j : j + run]] = -1
            if pattern:
                for row, score in enumerate(scores):
                    for k in score.argsort()[: len(score) - pattern[0]]:
                        mask[row, j + k] = False
            else:
                gone = int((~mask[:, j : j + run]).sum()) + going[j // run]
                for place in scores.flatten().argsort()[:gone].tolist():
                    mask[place // scores.shape[1], j + place % scores.shape[1]] = False
        for row in range(len(weight)):
            if not mask[row, j]:
                weight[row, j:] -= weight[row, j] / inverses[0][0, 0] * inverses[0][0]
                weight[row, j] = 0
    return mask, weight


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("block", "going", "pattern"),
    [(10, (31,), None), (4, (12, 12, 6), None), (128, (30,), None), (4, (), (2, 4)), (4, (), (1, 2)), (10, (), (2, 5))],
    ids=str,
)
def test_it_is_the_recursion_written_out(block, going, pattern, seed, masked):
    weight, inputs = layer(seed)
    left = torch.ones(6, 10, dtype=torch.bool)
    if masked:
        left[:, [1, 5, 9]] = False  # of every block of 4 one column
        weight *= left
        going = tuple(count - 5 for count in going) if len(going) == 1 else (9, 9, 3)[: len(going)]
    gram = inputs.T @ inputs
    mask, new = sparsegpt.solve(weight, gram, sum(going), left, pattern=pattern, block=block)
    told, expected = directly(weight, gram, left, going=going, block=block, pattern=pattern)
    assert torch.equal(mask, told)
    assert torch.allclose(new, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("going", [0, 1, 77, 299, 300])
def test_where_inputs_do_not_depend_on_each_other_it_is_magnitude(going):
    weight = torch.randn(5, 60, generator=torch.Generator().manual_seed(0))
    mask, new = sparsegpt.solve(weight, 3 * torch.eye(60), going)
    largest = weight.abs().flatten().argsort()[going:]
    assert torch.equal(mask.flatten().nonzero()[:, 0], largest.sort().values)
    assert torch.equal(new, weight * mask)


@pytest.mark.parametrize("going", [1, 500, 1499])
def test_as_many_go_of_every_block_as_of_the_others_and_in_all_what_is_asked(going):
    weight, inputs = layer(0, 5, 300, 400)
    left = torch.rand(5, 300, generator=torch.Generator().manual_seed(1)) > 0.2
    going = round(going * float(left.float().mean()))
    mask, _ = sparsegpt.solve(weight * left, inputs.T @ inputs, going, left)
    assert int(left.sum()) - int(mask.sum()) == going
    assert not (mask & ~left).any()
    for before, after in zip(left.split(128, 1), mask.split(128, 1), strict=True):
        assert abs(int(before.sum()) - int(after.sum()) - going * int(before.sum()) / int(left.sum())) < 1


@pytest.mark.parametrize("share", [0.3, 0.5])
def test_it_loses_less_than_magnitude_in_the_mean_and_each_removal_is_made_up_for(share):
    ratios, going = [], round(share * 16 * 64)
    for seed in range(20):
        weight, inputs = layer(seed, 16, 64, 200)
        mask, new = sparsegpt.solve(weight, inputs.T @ inputs, going)
        assert torch.equal(new != 0, mask)
        smallest = weight.abs().flatten().argsort()[:going]
        magnitude = weight.flatten().index_fill(0, smallest, 0).view(16, 64)
        assert error(weight, new, inputs) < error(weight, weight * mask, inputs)
        ratios.append(error(weight, new, inputs) / error(weight, magnitude, inputs))
    assert mean(ratios) + 3 * stdev(ratios) / 20**0.5 < 1


def test_what_reads_only_zeros_goes_first_and_what_of_it_stays_keeps_its_value():
    weight, inputs = layer(0)
    inputs[:, [2, 7]] = 0
    weight[:, [2, 7]] *= 100
    mask, new = sparsegpt.solve(weight, inputs.T @ inputs, 9)
    assert mask[:, [0, 1, 3, 4, 5, 6, 8, 9]].all()
    assert torch.equal(new, weight * mask)
    assert weight[:, [2, 7]][mask[:, [2, 7]]].abs().min() > weight[:, [2, 7]][~mask[:, [2, 7]]].abs().max()
    mask, new = sparsegpt.solve(weight, torch.zeros(10, 10), 20)
    assert torch.equal(new, weight * mask)
    assert int(mask.sum()) == 40


def test_the_scale_of_the_data_changes_nothing():
    weight, inputs = layer(0)
    inputs[:, 3] = 0
    (mask, new), (again, same) = (sparsegpt.solve(weight, s * inputs.T @ inputs, 25) for s in (1, 1e-6))
    assert torch.equal(mask, again)
    assert torch.allclose(new, same, rtol=1e-9, atol=1e-12)


def test_groups_with_inputs_of_their_own_compete_as_rows_do():
    layers = [layer(seed, 3, 10) for seed in range(3)]
    weight = torch.stack([weight for weight, _ in layers])
    weight[1] *= 1e-3
    grams = torch.stack([inputs.T @ inputs for _, inputs in layers])
    mask, new = sparsegpt.solve(weight, grams, 40)
    assert int(mask.sum()) == 50
    assert not mask[1].any()
    for each, alone, one, (_, inputs) in zip(mask, new, weight, layers, strict=True):
        own, expected = sparsegpt.solve(one, inputs.T @ inputs, int((~each).sum()))
        assert torch.equal(each, own)
        assert torch.allclose(alone, expected)


def test_of_patterns_that_earlier_masks_went_below_no_more_goes_and_a_rest_keeps_no_more_than_it_may():
    weight, inputs = layer(0)
    left = torch.ones(6, 10, dtype=torch.bool)
    left[:, :3] = False
    mask, _ = sparsegpt.solve(weight * left, inputs.T @ inputs, left=left, pattern=(2, 4))
    assert mask.unflatten(1, (5, 2))[:, :2].sum((1, 2)).tolist() == [1] * 6
    assert mask[:, 4:8].sum(1).tolist() == [2] * 6
    assert mask[:, 8:].all()


def test_weights_keep_their_type():
    weight, inputs = layer(0)
    assert sparsegpt.solve(weight.bfloat16(), (inputs.T @ inputs).float(), 5)[1].dtype == torch.bfloat16
