"""A module gets other sizes than its code asks for, call by call, and is stopped where it takes another path."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from prunebench.models.reshaping import Reshaping, reshaped, reshaping_of, reshapings_of


class Asks(nn.Module):
    """Asks for sizes in each of the ways that there are."""

    def forward(self, x, again=0):
        found = [
            x.view(2, 3, 4),
            x.reshape((2, 3, 4)),
            torch.reshape(x, shape=(2, 3, 4)),
            x.unflatten(1, (3, 4)),
            torch.unflatten(x, 1, sizes=[3, 4]),
            *x.split([8, 4], 1),
            *torch.split(x, 6, dim=1),
            *x.split_with_sizes((3, 9), dim=1),
        ]
        for _ in range(again):
            x = x.reshape(2, -1)
        return found


def ask(sizes, calls=8):
    module = Asks()
    reshaped(module, Reshaping(calls, sizes))
    return module


def test_every_way_to_ask_for_sizes_is_answered():
    module = ask({0: {1: 1, 2: 12}, 1: {1: 6, 2: 2}, 2: {2: 4}, 3: {0: 2, 1: 6}, 4: {0: 12, 1: 1}, 5: {0: 5, 1: 7}})
    shapes = [tuple(out.shape) for out in module(torch.zeros(2, 12))]
    assert shapes[:7] == [(2, 1, 12), (2, 6, 2), (2, 3, 4), (2, 2, 6), (2, 12, 1), (2, 5), (2, 7)]
    shapes = [tuple(out.shape) for out in ask({6: {0: 4}, 7: {1: 2, 0: 10}})(torch.zeros(2, 12))]
    assert shapes[7:] == [(2, 4), (2, 4), (2, 4), (2, 10), (2, 2)]


def test_values_are_those_of_the_same_call_with_other_sizes():
    x = torch.arange(24.0).view(2, 12)
    assert torch.equal(ask({0: {1: 6, 2: 2}})(x)[0], x.view(2, 6, 2))


def test_calls_of_modules_inside_count():
    outer = nn.Sequential(Asks(), nn.Identity())
    reshaped(outer, Reshaping(8, {}))
    assert len(outer(torch.zeros(2, 12))) == 11


@pytest.mark.parametrize("again", [1, 3])
def test_another_path_is_stopped(again):
    with pytest.raises(RuntimeError, match=rf"asks for sizes {8 + again} times, not 8"):
        ask({})(torch.zeros(2, 12), again)


def test_a_module_keeps_its_name_and_is_known_for_what_it_gets():
    module = ask({0: {1: 3}})
    assert type(module).__name__ == "Asks"
    assert isinstance(module, Asks)
    assert reshapings_of(nn.Sequential(module, nn.ReLU())) == {"0": Reshaping(8, {0: {1: 3}})}
    reshaped(module, Reshaping(8, {}))
    assert type(module).__mro__.count(Asks) == 1
    assert reshaping_of(copy.deepcopy(module)) == Reshaping(8, {})
    assert reshaping_of(Asks()) is None


def test_what_it_gets_reaches_an_exported_program():
    module, x = ask({0: {1: 6, 2: 2}, 1: {1: 4, 2: 3}}), torch.randn(2, 12)
    found = torch.export.export(module, (x,)).module()(x)
    assert all(torch.equal(a, b) for a, b in zip(found, module(x), strict=True))
