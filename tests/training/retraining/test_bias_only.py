"""What counts as a bias, and that nothing else is trained."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from prunebench.models.checkpoint import Checkpoint
from prunebench.training.fit import Position, fit
from prunebench.training.optimizers import Recipe
from prunebench.training.retraining.bias_only import is_bias, lacks
from prunebench.training.state import StepState

LAYERS = {
    "linear": (nn.Linear(2, 2), ["bias"]),
    "norm": (nn.BatchNorm2d(2), ["bias"]),
    "attention": (nn.MultiheadAttention(2, 1), ["in_proj_bias", "out_proj.bias"]),
    "recurrent": (nn.LSTM(2, 2), ["bias_hh_l0", "bias_ih_l0"]),
    "table": (nn.Embedding(2, 2), []),
}


@pytest.mark.parametrize("name", LAYERS)
def test_biases_are_known_by_their_names(name):
    layer, expected = LAYERS[name]
    assert sorted(key for key, _ in layer.named_parameters() if is_bias(key)) == expected
    assert (lacks(layer, None) == "") == bool(expected)
    assert not is_bias("bias.weight")


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_nothing_else_is_trained_not_even_by_weight_decay_and_all_is_thawed_again(optimizer, tiny_state, tiny_task):
    state = tiny_state()
    before = {name: parameter.detach().clone() for name, parameter in state.model.named_parameters()}
    recipe = Recipe(epochs=1, batch_size=16, optimizer=optimizer, lr=0.1, schedule="constant", weight_decay=0.1)
    about = Checkpoint(state.architecture, state.model, {})
    fit(StepState(1, about), tiny_task, recipe, Position(0, "finetune", 1), device=torch.device("cpu"), trains=is_bias)
    for name, parameter in state.model.named_parameters():
        assert torch.equal(parameter, before[name]) != is_bias(name)
        assert parameter.requires_grad
