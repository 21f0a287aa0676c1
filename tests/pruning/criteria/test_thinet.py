"""Units go greedily by what their readers lose without them, and scores keep that order."""

from __future__ import annotations

import itertools

import pytest
import torch

from prunebench.pruning.criteria.thinet import greedy, thinet
from prunebench.pruning.methods import structured
from prunebench.pruning.registry import Request, criteria


def pairs_of(added):
    """⟨y_c, y_d⟩ of what units add, (units, values)."""
    return added.double() @ added.double().T


def slowly(added):
    """The order in which units go by errors of their sums, each computed by itself."""
    order, errors = [], []
    while len(order) < len(added):
        left = [unit for unit in range(len(added)) if unit not in order]
        found = {unit: float(added[[*order, unit]].sum(0).square().sum()) for unit in left}
        order.append(min(left, key=lambda unit: found[unit]))
        errors.append(found[order[-1]])
    return order, errors


@pytest.mark.parametrize("seed", range(3))
def test_the_order_is_that_of_errors_computed_set_by_set(seed):
    draw = torch.Generator().manual_seed(seed)
    added = torch.randn(9, 5, generator=draw, dtype=torch.float64)
    order, errors = greedy(pairs_of(added))
    slow_order, slow_errors = slowly(added)
    assert order.tolist() == slow_order
    assert torch.allclose(errors, torch.tensor(slow_errors, dtype=torch.float64), rtol=1e-9)
    assert thinet(pairs_of(added)).argsort().tolist() == slow_order


def test_of_units_whose_parts_cancel_both_go_though_neither_is_small():
    added = torch.tensor([[1.0, 0, 0], [3, 4, 0], [-3, -4, 0.5], [0, 2, 9]])
    order, errors = greedy(pairs_of(added))
    assert order.tolist() == [0, 2, 1, 3]
    assert errors.tolist() == [1, 20.25, 1.25, 95.25]
    scores = thinet(pairs_of(added))
    assert torch.allclose(scores, torch.tensor([1, 20.25, 20.25, 95.25], dtype=torch.float64) / 95.25)
    assert scores[2] < scores[1]
    assert (scores / scores.mean()).argsort().tolist() == [0, 2, 1, 3]


def test_of_equal_units_the_first_goes_first_and_what_adds_nothing_before_all():
    scores = thinet(pairs_of(torch.tensor([[1.0], [0], [1], [0], [1]])))
    assert scores.sort(stable=True).indices.tolist() == [1, 3, 0, 2, 4]
    assert scores[[1, 3]].tolist() == [0, 0]
    assert thinet(torch.zeros(3, 3)).tolist() == [0, 0, 0]


@torch.no_grad()
def lost(model, images, kept):
    """What the second convolution puts out otherwise where it reads some channels alone."""
    read = model.features[:4](images)
    mask = torch.zeros(1, 8, 1, 1).index_fill_(1, torch.tensor(kept), 1)
    return float((model.features[4](read * mask) - model.features[4](read)).square().sum())


@pytest.mark.parametrize("scope", [None, "global"])
def test_the_one_unit_that_goes_is_the_one_whose_reader_loses_least(scope, tiny_net, tiny_task, images12):
    torch.manual_seed(0)
    model = tiny_net(3).eval()
    about = {"task": tiny_task, "calibration": 40, "include": ("features.0",), "scope": scope}
    images, _ = next(tiny_task.batches("train", [tiny_task.targets.some("train", 40)], torch.device("cpu")))
    best = min(itertools.combinations(range(8), 7), key=lambda kept: lost(model, images, list(kept)))
    filters = model.get_parameter("features.0.weight").detach().clone()
    structured.prune(model, {}, Request(0.125, criteria.get("thinet").unit, images12, **about))
    assert torch.equal(model.get_parameter("features.0.weight"), filters[list(best)])


def test_a_channel_that_its_reader_multiplies_with_zero_goes_first(tiny_net, tiny_task, images12):
    model = tiny_net(3)
    with torch.no_grad():
        model.get_parameter("features.4.weight")[:, [2, 5]] = 0
    kept = model.get_parameter("features.0.weight").detach()[[0, 1, 3, 4, 6, 7]]
    about = {"task": tiny_task, "calibration": 20, "include": ("features.0",)}
    structured.prune(model, {}, Request(0.25, criteria.get("thinet").unit, images12, **about))
    assert torch.equal(model.get_parameter("features.0.weight"), kept)
