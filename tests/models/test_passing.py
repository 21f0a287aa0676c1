"""A removed block keeps its name and hands on what it is given, and nothing else of it is left."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from prunebench.errors import RunError
from prunebench.models.passing import is_passing, pass_all_on, pass_on, passing_of


class Layer(nn.Module):
    """Called by place or by name, and read by others."""

    kept = "a constant"

    def __init__(self, several=False):
        super().__init__()
        self.linear, self.several, self.width = nn.Linear(3, 3), several, 3
        self.register_buffer("scale", torch.ones(3))

    def forward(self, states, mask=None):
        out = states + self.linear(states)
        return (out, mask) if self.several else out


def test_its_output_is_its_first_argument_by_place_or_by_name():
    layer, states = Layer(), torch.randn(2, 3)
    pass_on(layer, 0)
    assert layer(states, mask=1) is states
    assert layer(mask=1, states=states) is states


def test_beside_the_first_of_a_tuple_nothing_is_left():
    layer, states = Layer(several=True), torch.randn(2, 3)
    pass_on(layer, 2)
    assert layer(states, 1) == (states, None)


def test_parameters_buffers_and_modules_go_and_names_stay():
    model = nn.Sequential(Layer(), Layer(), Layer())
    pass_on(model[1], 0)
    assert {name.partition(".")[0] for name in model.state_dict()} == {"0", "2"}
    assert (type(model[1]).__name__, model[1].kept, model[1].width) == ("Layer", "a constant", 3)
    assert isinstance(model[1], Layer)
    assert passing_of(model) == {"1": 0}
    assert is_passing(copy.deepcopy(model)[1])
    assert not is_passing(model[0])


def test_what_is_told_of_a_model_removes_the_same_of_a_full_one():
    model, again = nn.Sequential(Layer(), Layer(several=True)), nn.Sequential(Layer(), Layer(several=True))
    pass_on(model[1], 2)
    pass_all_on(again, passing_of(model))
    again.load_state_dict(model.state_dict())
    states = torch.randn(2, 3)
    assert torch.equal(again(states)[0], model(states)[0])


@pytest.mark.parametrize("names", [["2"], [""], ["0", "0.linear"], ["weight"]])
def test_names_that_no_module_has_are_refused_before_anything_changes(names):
    model = nn.Sequential(Layer(), Layer())
    with pytest.raises(RunError, match="the model has no block"):
        pass_all_on(model, dict.fromkeys(names, 0))
    assert passing_of(model) == {}
