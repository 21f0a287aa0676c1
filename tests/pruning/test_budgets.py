"""What is asked of groups that are ranked together goes, and where a floor or a multiple forbids it, that is told."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prunebench.errors import ConfigError
from prunebench.models.input_spec import InputSpec
from prunebench.pruning.budgets import Pool, Ranked
from prunebench.pruning.methods import structured
from prunebench.pruning.registry import Request
from prunebench.pruning.units.groups import Group
from prunebench.pruning.units.removable import find_removable

ANY = InputSpec(kind="images", size=4)


def ranked(scores, request, *, original=None, shares=None, together=True, kind="channels"):
    """Groups of so many units, all ranked together or each by itself."""
    groups = [Group(str(i), kind, len(each), (), (str(i),)) for i, each in enumerate(scores)]
    pools = [tuple(range(len(groups)))] if together else [(i,) for i in range(len(groups))]
    whole = {group.name: units for group, units in zip(groups, original or map(len, scores), strict=True)}
    made = [Pool(members, request.fraction, own=False) for members in pools]
    return Ranked(groups, request, whole, made, scores, shares)


def asked(fraction=0.5, **about):
    return Request(fraction, lambda weight: weight, ANY, **about)


SCORES = [[4.0, 1.0, 3.0, 9.0], [2.0, 8.0, 7.0, 6.0, 5.0, 10.0]]


@pytest.mark.parametrize(
    ("about", "gone"),
    [
        ({}, [[0, 1, 2], [0, 4]]),
        ({"floor": 0.5}, [[1, 2], [0, 3, 4]]),
        ({"floor": 0.8}, [[], [0]]),
        ({"fraction": 0.9}, [[0, 1, 2], [0, 1, 2, 3, 4]]),
        ({"gone": 0.2}, [[1], [0]]),
        ({"round_to": 2}, [[1, 2], [0, 4]]),
        ({"gone": 0.7, "round_to": 4}, [[], [0, 4]]),
    ],
)
def test_the_lowest_of_all_go_but_for_what_each_group_keeps(about, gone):
    assert ranked(SCORES, asked(**about)).chosen() == gone


def test_each_by_itself_loses_the_same_share():
    assert ranked(SCORES, asked(), together=False).chosen() == [[1, 2], [0, 3, 4]]
    assert ranked(SCORES, asked(gone=0.7), together=False).chosen() == [[0, 1, 2], [0, 2, 3, 4]]


def test_other_scores_may_say_how_many_go_and_the_criterion_which():
    shares = [[1.0, 1.0, 1.0, 9.0], [2.0, 2.0, 9.0, 9.0, 9.0, 9.0]]
    assert ranked(SCORES, asked(), shares=shares).chosen() == [[0, 1, 2], [0, 4]]
    reverse = [[-each for each in group] for group in SCORES]
    assert ranked(reverse, asked(), shares=shares).chosen() == [[0, 2, 3], [1, 5]]


def test_a_target_is_of_the_units_that_there_were():
    scores = [[1.0, 2.0], [3.0, 4.0, 5.0, 6.0]]
    assert ranked(scores, asked(gone=0.5), original=(4, 6)).chosen() == [[0], []]
    assert ranked(scores, asked(gone=0.3), original=(4, 6)).chosen() == [[], []]  # more have gone already
    assert ranked(scores, asked(gone=0.5, floor=0.5), original=(4, 6)).chosen() == [[], [0]]


UNITS = st.lists(st.integers(1, 12), min_size=1, max_size=5)


@given(UNITS, st.data(), st.floats(0.05, 0.99), st.floats(0, 0.95), st.sampled_from([1, 2, 4, 8]))
def test_what_goes_is_what_is_asked_unless_floors_or_multiples_forbid_it(units, data, share, floor, multiple):
    score = st.floats(0, 1, width=32)
    scores = [data.draw(st.lists(score, min_size=n, max_size=n)) for n in units]
    about = {"gone": share} if data.draw(st.booleans()) else {}
    ranking = ranked(scores, asked(share, floor=floor, round_to=multiple, **about))
    chosen = ranking.chosen()
    left = [n - len(gone) for n, gone in zip(units, chosen, strict=True)]
    quota = ranking.quota(ranking.pools[0])
    assert sum(map(len, chosen)) <= quota
    for n, kept in zip(units, left, strict=True):
        assert kept == n or kept % multiple == 0
    least = [min(n, -(-max(1, math.ceil(floor * n - 1e-9)) // multiple) * multiple) for n in units]
    assert all(kept >= one for kept, one in zip(left, least, strict=True))
    if multiple == 1:
        assert sum(map(len, chosen)) == min(quota, sum(units) - sum(least))
        assert quota == min(round(share * sum(units)), sum(units) - 1)


@given(UNITS, st.data(), st.sampled_from([1, 2, 4]), st.booleans())
def test_what_goes_of_a_share_goes_of_every_larger_one(units, data, multiple, together):
    score = st.floats(0, 1, width=32)
    scores = [data.draw(st.lists(score, min_size=n, max_size=n)) for n in units]
    ranking = ranked(scores, asked(round_to=multiple), together=together)
    before = [set() for _ in units]
    for share in (0.0, 0.1, 0.25, 0.4, 0.5, 0.8, 1.0):
        now = [set(gone) for gone in ranking.chosen(share)]
        assert all(one <= other for one, other in zip(before, now, strict=True))
        before = now


def test_fewer_than_asked_are_noted(tiny_net, images12, request_for):
    torch.manual_seed(0)
    model = tiny_net(3)
    about = {"scope": "global", "floor": 0.5, "removable": find_removable(model, images12)}
    pruned = structured.prune(model, {}, request_for(images12, 0.7, **about))
    assert pruned.notes == ("7 units fewer than asked were removed: every group keeps at least 50 % of its units",)
    assert structured.count(model, {}, request_for(images12, **about)) == {"neurons": 8, "channels": 10}


def test_a_floor_is_never_broken_in_any_step_of_a_global_ranking(tiny_net, images12, request_for):
    torch.manual_seed(0)
    model = tiny_net(3)
    request = request_for(images12, 0.4, scope="global", floor=0.25, removable=find_removable(model, images12))
    for _ in range(5):
        structured.prune(model, {}, request)
        left = {group.name: group.units for group in structured.groups_of(model, request)}
        assert all(left[name] >= least for name, least in {"features.0": 2, "features.4": 3, "classifier.1": 4}.items())
    assert left == {"features.0": 2, "features.4": 3, "classifier.1": 4}


def test_a_scope_without_a_meaning_for_units_is_refused(tiny_net, images12, request_for):
    with pytest.raises(ConfigError, match=r"--scope erk .* whole units, which stand in several: give global"):
        structured.prune(tiny_net(3), {}, request_for(images12, scope="erk"))
