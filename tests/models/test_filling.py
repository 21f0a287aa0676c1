"""A pruned model takes the values of a less pruned one, where it was pruned from."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from prunebench.errors import RunError
from prunebench.models import checkpoint
from prunebench.models.filling import fill
from prunebench.models.kept import composed
from prunebench.pruning.methods import structured


def pruned(state, request, times=1):
    """A copy of which units are gone; the values of a model are told by the places where they stand."""
    model, kept = copy.deepcopy(state.model), state.kept
    for _ in range(times):
        kept = composed(kept, structured.prune(model, {}, request).kept)
    return replace(state, model=model, kept=kept)


@pytest.mark.parametrize("before", [0, 1])
def test_every_value_comes_from_where_it_stood_however_often_was_pruned(before, tiny_state, request_for, tmp_path):
    whole = tiny_state()
    with torch.no_grad():
        for number, tensor in enumerate(whole.model.state_dict().values()):
            tensor.copy_(torch.arange(tensor.numel()).view(tensor.shape) + 1000 * number)
    request = request_for(whole.architecture.inputs, 0.3, "random")
    source = pruned(whole, request, before)
    state = pruned(source, request, 2)
    expected = {name: tensor.clone() for name, tensor in state.model.state_dict().items()}
    with torch.no_grad():
        for tensor in state.model.state_dict().values():
            tensor.zero_()
    fill(state, source)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in state.model.state_dict().items())
    assert state.model.features[0].weight.shape[0] < source.model.features[0].weight.shape[0]
    checkpoint.save(state, tmp_path)
    assert (tmp_path / "kept.json").exists()


def test_heads_and_neurons_take_what_was_theirs(fresh, request_for):
    source = fresh("bert")
    state = pruned(source, request_for(source.architecture.inputs, 0.4, "random"))
    expected = {name: tensor.clone() for name, tensor in state.model.state_dict().items()}
    with torch.no_grad():
        for tensor in state.model.state_dict().values():
            tensor.zero_()
    fill(state, source)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in state.model.state_dict().items())


def test_masked_weights_stay_at_zero(tiny_state):
    state, source = tiny_state(), tiny_state()
    mask = torch.rand(8, 3, 3, 3) > 0.5
    fill(replace(state, masks={"features.0.weight": mask}), source)
    assert torch.equal(state.model.features[0].weight != 0, mask)


def test_a_model_of_which_nothing_is_known_is_refused(tiny_state, request_for):
    state = pruned(tiny_state(), request_for(tiny_state().architecture.inputs, 0.3))
    with pytest.raises(RunError, match=r"was not recorded.*--fresh"):
        fill(replace(state, kept={}), tiny_state())
