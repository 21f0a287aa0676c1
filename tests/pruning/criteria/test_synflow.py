"""SynFlow prunes in rounds, so that no layer goes as a whole."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from prunebench.pruning.criteria.synflow import synflow
from prunebench.pruning.methods import structured
from prunebench.pruning.registry import Request, criteria
from prunebench.pruning.rounds import in_rounds


def test_scores_are_sizes_of_products():
    scores = synflow(torch.tensor([2.0, -3.0]), torch.tensor([0.5, 1.0], dtype=torch.float64))
    assert scores.tolist() == [1.0, 3.0]
    assert scores.dtype == torch.float32


def test_it_asks_for_a_hundred_rounds():
    assert criteria.get("synflow").rounds == 100
    assert criteria.get("snip").rounds == 1


@pytest.mark.parametrize("rounds", [2, 7, 100])
def test_as_many_units_go_in_rounds_as_at_once_and_the_model_is_otherwise_as_it_was(rounds, tiny_net, images12):
    torch.manual_seed(0)
    about = {"exclude": ("classifier",)}
    model, other = tiny_net(3), tiny_net(3)
    other.load_state_dict(model.state_dict())
    structured.prune(model, {}, Request(0.4, synflow, images12, rounds=rounds, **about))
    structured.prune(other, {}, Request(0.4, synflow, images12, **about))
    assert [p.shape for p in model.parameters()] == [p.shape for p in other.parameters()]
    assert model.get_parameter("features.0.weight").abs().amin((1, 2, 3)).min() > 0


def test_each_round_is_scored_without_what_went_before(images12):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(432, 3, bias=False), nn.Linear(3, 4, bias=False)
            self.last = nn.Linear(4, 2, bias=False)

        def forward(self, images):
            return self.last(self.second(self.first(images.flatten(1)).relu()).relu())

    model, gone = Net(), {}
    with torch.no_grad():
        model.first.weight.copy_(torch.tensor([1.0, 10.0, 10.0])[:, None].expand(3, 432))
        model.second.weight.copy_(torch.tensor([[30.0, 0, 0], [0, 1, 0], [0, 0, 1.5], [0, 1, 1]]))
        model.last.weight.fill_(1)
    groups = structured.groups_of(model, Request(0.4, synflow, images12))
    for rounds in (1, 20):
        chosen = in_rounds(model, groups, Request(0.4, synflow, images12, rounds=rounds))[1]
        gone[rounds] = {group.name: units for group, units in zip(groups, chosen, strict=True)}
    assert gone[1] == {"first": [1], "second": [1, 2]}
    assert gone[20] == {"first": [1], "second": [1, 3]}  # of the last, half of the flow has gone with the first's unit
