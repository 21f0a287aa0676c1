"""Removal slices what belongs to the units, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from prunebench.pruning.units.find import find
from prunebench.pruning.units.removal import masked, remove, shares


def two_layers(written):
    return written(
        lambda m, x: m.fc(m.b(m.a(x.flatten(1)).relu()).relu()),
        a=nn.Linear(192, 6),
        b=nn.Linear(6, 5),
        fc=nn.Linear(5, 2),
    )


def test_rows_and_columns_of_the_units_go_and_sizes_follow(written, images):
    model = two_layers(written)
    rows, columns = model.a.weight.clone(), model.b.weight.clone()
    left = remove(model, find(model, images).groups, {"a": [1, 4]})
    kept = [0, 2, 3, 5]
    assert torch.equal(model.a.weight, rows[kept])
    assert torch.equal(model.b.weight, columns[:, kept])
    assert (model.a.out_features, model.b.in_features, model.b.out_features) == (4, 4, 5)
    assert [group.units for group in left] == [4, 5]


def test_what_is_left_of_the_groups_is_what_would_be_found_anew(written, images):
    model = two_layers(written)
    left = remove(model, find(model, images).groups, {"a": [0, 3], "b": [4]})
    for group, wanted in zip(left, find(model, images).groups, strict=True):
        assert [(p.parameter, p.dim, p.index.tolist(), p.unit.tolist()) for p in group.parts] == [
            (p.parameter, p.dim, p.index.tolist(), p.unit.tolist()) for p in wanted.parts
        ]


def test_pruned_is_masked_and_masks_are_taken_off(written, images):
    model = two_layers(written)
    groups = find(model, images).groups
    before = {name: value.clone() for name, value in model.state_dict().items()}
    doomed = shares(groups, 0.5)
    with masked(model, groups, doomed), torch.no_grad():
        wanted = model(images)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    remove(model, groups, doomed)
    assert torch.allclose(model(images), wanted, atol=1e-6)


def test_tied_parameters_stay_tied_and_frozen_ones_frozen(written, images):
    model = written(
        lambda m, x: m.fc(m.c(m.b(m.a(x.flatten(1))).relu())),
        a=nn.Linear(192, 4),
        b=nn.Linear(4, 4),
        c=nn.Linear(4, 4),
        fc=nn.Linear(4, 2),
    )
    model.c.weight = model.b.weight
    model.a.requires_grad_(False)
    remove(model, find(model, images).groups, {"a": [2]})
    assert model.c.weight is model.b.weight
    assert model.b.weight.shape == (3, 3)
    assert not model.a.weight.requires_grad
    assert model.fc.weight.requires_grad


def test_shares_leave_a_unit_and_take_one(written, images):
    groups = find(two_layers(written), images).groups
    assert {name: len(units) for name, units in shares(groups, 0.01).items()} == {"a": 1, "b": 1}
    assert {name: len(units) for name, units in shares(groups, 1.0, which="first").items()} == {"a": 5, "b": 4}
    heads = [replace(group, kind="heads") for group in groups]
    assert {len(shares(heads, 0.5, seed)["a"]) for seed in range(30)} == {2, 3, 4}
    assert {len(shares(heads, 1.0, seed)["b"]) for seed in range(30)} == {3, 4}
    assert {len(shares(groups, 0.5, seed)["a"]) for seed in range(30)} == {3}
    assert shares(groups, 0.5, which="last") == {"a": [3, 4, 5], "b": [3, 4]}
    assert shares(groups, 0.5, which="first") == {"a": [0, 1, 2], "b": [0, 1]}
