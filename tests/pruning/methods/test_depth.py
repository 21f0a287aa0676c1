"""Depth pruning removes whole blocks, those that score lowest, and never the last one."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from prunebench.errors import ConfigError
from prunebench.models.input_spec import InputSpec
from prunebench.models.passing import passing_of
from prunebench.pruning.blocks.proof import find_removable_blocks
from prunebench.pruning.methods import depth
from prunebench.pruning.registry import Request, criteria

IMAGES = InputSpec(kind="images", size=8)


@pytest.fixture(scope="module")
def five(residual):
    model = residual.model_of(*[residual.Residual() for _ in range(5)])
    model(IMAGES.example(2))
    return model.eval(), find_removable_blocks(model, IMAGES)


def place(name):
    return int(name)


def request(blocks, score=place, fraction=0.3, **about):
    return Request(fraction, score, IMAGES, blocks=blocks, **about)


@pytest.mark.parametrize(
    ("blocks", "fraction", "steps", "left"),
    [(5, 0.1, 1, 4), (5, 0.5, 1, 3), (12, 0.25, 1, 9), (2, 0.9, 1, 1), (1, 0.9, 1, 1), (5, 0.1, 9, 1), (0, 0.5, 1, 0)],
)
def test_a_step_takes_one_at_least_and_one_stays(blocks, fraction, steps, left):
    assert depth.left_after(blocks, fraction, steps) == left


def test_the_lowest_go_first_and_are_told_with_their_scores(five):
    model, found = copy.deepcopy(five[0]), five[1]
    pruned = depth.prune(model, {}, request(found, lambda name: -int(name), fraction=0.4))
    assert [(block.name, block.score) for block in pruned.removed] == [("6", -6.0), ("5", -5.0)]
    assert set(passing_of(model)) == {"5", "6"}
    assert depth.count(model, {}, request(found)) == {"blocks": 3}
    again = depth.prune(model, {}, request(found, lambda name: -int(name), leap=9))
    assert [block.name for block in again.removed] == ["4", "3"]
    assert depth.prune(model, {}, request(found)).notes == ("nothing was removed: one block is left, which stays",)


def test_patterns_say_which_blocks_may_go(five):
    model, found = copy.deepcopy(five[0]), five[1]
    pruned = depth.prune(model, {}, request(found, fraction=0.9, exclude=("2",), include=("[23]", "4")))
    assert [block.name for block in pruned.removed] == ["3"]
    assert depth.count(model, {}, request(found, exclude=("2",))) == {"blocks": 3}
    with pytest.raises(ConfigError, match=r"no block fits --include and --exclude\. There are: 2, 3, 4, 5, 6\."):
        depth.prune(model, {}, request(found, include=("0",)))


def test_masks_stay_on_what_is_left(five):
    model, found = copy.deepcopy(five[0]), five[1]
    masks = {name: torch.ones_like(p, dtype=torch.bool) for name, p in model.named_parameters() if p.ndim > 1}
    left = depth.prune(model, masks, request(found)).masks
    assert masks.keys() - left.keys() == {"2.conv.weight", "3.conv.weight"}


def test_what_it_reaches_are_the_weights_in_blocks_whether_they_are_left_or_not(five):
    model, found = copy.deepcopy(five[0]), five[1]
    from prunebench.pruning.multiplied import find_weights

    about = {"weights": find_weights(model, IMAGES)}
    names = [f"{i}.conv.weight" for i in range(2, 7)]
    assert depth.reached(model, request(found, **about)) == names
    depth.prune(model, {}, request(found, **about))
    assert depth.reached(model, request(found, **about)) == names


def test_a_criterion_is_given_the_block_and_its_influence(five, tiny_task):
    model, found, seen = copy.deepcopy(five[0]), five[1], {}

    def score(block, name, influence, model, task, generator):  # noqa: PLR0917 (all that is offered)
        seen[name] = type(block).__name__, influence, task
        return influence

    pruned = depth.prune(model, {}, request(found, score, task=tiny_task))
    assert list(seen) == ["2", "3", "4", "5", "6"]
    assert {kind for kind, _, _ in seen.values()} == {"Residual"}
    assert all(0 < value < 2 for _, value, _ in seen.values())
    assert [block.name for block in pruned.removed] == sorted(seen, key=lambda name: seen[name][1])[:2]


def test_random_takes_any_by_the_seed(five):
    score = criteria.get("random").block
    taken = set()
    for seed in range(12):
        model = copy.deepcopy(five[0])
        (first, *_) = depth.prune(model, {}, request(five[1], score, fraction=0.1, seed=seed)).removed
        assert (
            first in depth.prune(copy.deepcopy(five[0]), {}, request(five[1], score, fraction=0.1, seed=seed)).removed
        )
        taken.add(first.name)
    assert len(taken) > 2


@pytest.mark.parametrize("score", [float("nan"), "low", torch.ones(2), None])
def test_a_score_that_is_no_number_is_refused(five, score):
    with pytest.raises(ConfigError, match=r"scored block 2 with .*; it must return a number"):
        depth.prune(copy.deepcopy(five[0]), {}, request(five[1], lambda name: score))


def test_a_model_without_blocks_is_refused_with_what_else_there_is(residual):
    model = residual.model_of(residual.Plain(), residual.Plain())
    model(IMAGES.example(2))
    with pytest.raises(ConfigError, match=r"no residual block of this model .* \(it has none\)\. --method structured"):
        depth.prune(model, {}, request(None))
    assert isinstance(model, nn.Module)
