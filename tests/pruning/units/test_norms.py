"""Norms of a masked model average over the channels that are left, as those of the pruned model do."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from prunebench.models.input_spec import InputSpec
from prunebench.pruning.units.norms import narrowed
from prunebench.pruning.units.removable import find_removable

LEFT = torch.tensor([True, False, True, True, False, True])


@pytest.mark.parametrize("shape", [(3, 6), (2, 5, 6)])
def test_a_layer_norm_is_that_of_the_channels_left(shape):
    norm, data = nn.LayerNorm(6).double(), torch.randn(shape, dtype=torch.float64)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    with torch.no_grad():
        wanted = torch.nn.functional.layer_norm(data[..., LEFT], (4,), norm.weight[LEFT], norm.bias[LEFT])
        with narrowed({norm.weight: LEFT}):
            found = norm(data)
    torch.testing.assert_close(found[..., LEFT], wanted)


@pytest.mark.parametrize(("groups", "same"), [(1, False), (2, True)])
def test_a_group_norm_over_all_channels_is_that_of_the_channels_left(groups, same):
    norm, data = nn.GroupNorm(groups, 6).double(), torch.randn(2, 6, 3, 3, dtype=torch.float64)
    with torch.no_grad():
        before, wanted = norm(data), torch.nn.functional.group_norm(data[:, LEFT], 1)
        with narrowed({norm.weight: LEFT}):
            found = norm(data)
    torch.testing.assert_close(found if same else found[:, LEFT], before if same else wanted)


def test_a_norm_without_a_mask_is_as_it_was():
    norm, data = nn.LayerNorm(6), torch.randn(3, 6)
    with torch.no_grad(), narrowed({}), narrowed({nn.LayerNorm(6).weight: LEFT}):
        assert torch.equal(norm(data), nn.LayerNorm(6)(data))


class Stream(nn.Module):
    """A residual stream of eight channels with a layer norm in it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 8, 1), nn.LayerNorm(8)
        self.up, self.down, self.head = nn.Linear(8, 12), nn.Linear(12, 8), nn.Linear(8, 4)

    def forward(self, x):
        x = self.stem(x).flatten(2).transpose(1, 2)
        x = x + self.down(self.up(self.norm(x)).relu())
        return self.head(x.mean(1))


def test_a_residual_stream_goes_through_norms_where_that_is_asked_for():
    model, inputs = Stream().eval(), InputSpec(kind="images", size=4)
    assert [group.modules for group in find_removable(model, inputs).groups] == [("up",)]
    found = find_removable(model, inputs, through_norms=True)
    assert {group.modules: group.units for group in found.groups} == {("down", "stem"): 8, ("up",): 12}
    assert found.through_norms
    assert 0 < found.largest < 1e-12
