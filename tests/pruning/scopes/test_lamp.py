"""LAMP's shares are what its own ranking takes of each layer."""

from __future__ import annotations

import pytest
import torch

from prunebench.pruning.methods import unstructured
from prunebench.pruning.scopes.lamp import lamp


def test_with_a_criterion_of_size_the_masks_are_those_of_the_criterion_lamp(tiny_net, images12, request_for):
    masks, theirs = {}, {}
    torch.manual_seed(0)
    model, other = tiny_net(3), tiny_net(3)
    other.load_state_dict(model.state_dict())
    for step in range(3):
        masks = unstructured.prune(model, masks, request_for(images12, 0.5, "l1", scope="lamp", seed=step)).masks
        theirs = unstructured.prune(other, theirs, request_for(images12, 0.5, "lamp", seed=step)).masks
        assert all(torch.equal(mask, theirs[name]) for name, mask in masks.items())


@pytest.mark.parametrize(
    ("going", "told"), [(0, (0, 0)), (2, (1, 1)), (3, (2, 1)), (4, (2, 2)), (5, (3, 2)), (6, (4, 2)), (7, (4, 3))]
)
def test_what_goes_sums_up_and_of_equal_scores_those_of_the_first_layer_go(going, told):
    weights = {"a": torch.tensor([1.0, 2.0, 3.0, 4.0]), "b": torch.tensor([0.0, 10.0, 20.0, 40.0])}
    masks = {name: weight > 0 for name, weight in weights.items()}
    assert tuple(lamp(weights, masks, going).values()) == told
