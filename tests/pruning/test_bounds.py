"""A bound is met by the largest model of the scope, counted as the pruned model itself is."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch

from prunebench.errors import ConfigError
from prunebench.models.costs import macs, params
from prunebench.pruning.bounds import share_within
from prunebench.pruning.budgets import ranked
from prunebench.pruning.methods import structured
from prunebench.pruning.units.removable import find_removable, without

COUNTS = {"macs_left": macs, "params_left": lambda model, inputs: params(model)}


@pytest.fixture(scope="module")
def tiny(tiny_net, images12, request_for):
    """A model, and what makes a request of it."""
    torch.manual_seed(0)
    model = tiny_net(3).eval()
    return model, partial(request_for, images12, removable=find_removable(model, images12))


@pytest.mark.parametrize("scope", [None, "global", "isomorphic", "lamp"])
@pytest.mark.parametrize(("bound", "share"), [("macs_left", 0.5), ("params_left", 0.25), ("params_left", 0.9)])
def test_no_larger_model_of_the_scope_is_within_the_bound(scope, bound, share, tiny):
    model, ask = tiny
    request = ask(scope=scope, group_normalisation="mean" if scope == "global" else "none", **{bound: share})
    inputs, found, pruned = request.inputs, request.removable, copy.deepcopy(model)
    ranking = ranked(model, found.groups, request)
    structured.prune(pruned, {}, request)
    most, ours = share * COUNTS[bound](model, inputs), COUNTS[bound](pruned, inputs)
    sizes, before = [], None
    for k in range(401):  # finer than any two shares at which a group loses one more
        if (chosen := ranking.chosen(k / 400)) != before:
            doomed = {group.name: units for group, units in zip(found.groups, chosen, strict=True)}
            other = without(copy.deepcopy(model), inputs, found.groups, found, doomed)
            sizes.append(COUNTS[bound](other, inputs))
            before = chosen
    assert sizes == sorted(sizes, reverse=True)
    assert ours == next(size for size in sizes if size <= most)


def test_each_step_is_bounded_by_what_the_unpruned_model_had(tiny, images12):
    model, ask = tiny
    model = copy.deepcopy(model)
    had = macs(model, images12)
    for left in (0.7, 0.4, 0.2):
        about = {"macs_left": left, "original_macs": had}
        structured.prune(model, {}, ask(**about))
        assert 0.6 * left < macs(model, images12) / had <= left


def test_a_model_that_is_small_enough_stays_as_it_is(tiny, images12):
    model, ask = tiny
    model = copy.deepcopy(model)
    notes = structured.prune(model, {}, ask(params_left=1.0)).notes
    assert params(model) == params(tiny[0])
    assert notes == ("nothing was removed from 3 of 3 groups (classifier.1, features.4, features.0)",)


@pytest.mark.parametrize("scope", [None, "global"])
def test_a_bound_that_cannot_be_met_is_refused_with_what_can(scope, tiny, images12):
    model, ask = tiny
    about = {"scope": scope}
    smallest = copy.deepcopy(model)
    structured.prune(smallest, {}, ask(gone=1.0, **about))
    least = macs(smallest, images12) / macs(model, images12)
    request = ask(macs_left=0.9 * least, **about)
    with pytest.raises(ConfigError, match=rf"^Multiply-accumulates cannot be brought to .*: .* {least:.3g} are left"):
        structured.check(model, request)
    with pytest.raises(ConfigError, match="cannot be brought"):
        structured.prune(copy.deepcopy(model), {}, request)
    structured.check(model, ask(macs_left=1.001 * least, **about))
    with pytest.raises(ConfigError, match=r"Parameters cannot be .*, of which each layer keeps 50 %, 0\.294 are left"):
        structured.check(model, ask(params_left=0.25, floor=0.5, **about))


def test_floors_and_multiples_are_kept(tiny, images12):
    model, ask = tiny
    about = {"scope": "global", "group_normalisation": "mean", "floor": 0.25, "round_to": 4}
    request = ask(macs_left=0.4, **about)
    found = request.removable
    ranking = ranked(model, found.groups, request)
    chosen = ranking.chosen(share_within(model, ranking))
    left = [group.units - len(gone) for group, gone in zip(found.groups, chosen, strict=True)]
    assert all(units % 4 == 0 and units >= 0.25 * g.units for units, g in zip(left, found.groups, strict=True))
