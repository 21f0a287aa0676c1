"""Attention heads and feed-forward neurons: quotas, floors, and what the model then says of itself."""

from __future__ import annotations

import pytest
import torch

from prunebench.models.input_spec import output_of
from prunebench.pruning.groups import attention
from prunebench.pruning.methods import structured


@pytest.fixture
def encoder(architecture_of):
    """BERT of four layers with four heads and 40 neurons each, and its inputs."""
    torch.manual_seed(0)
    architecture = architecture_of("bert")
    architecture.arguments["config"] |= {"num_hidden_layers": 4, "intermediate_size": 40}
    return architecture.build().eval(), architecture.inputs


def heads(model):
    return [layer.attention.self.num_attention_heads for _, layer in attention.layers(model)]


def test_a_tenth_of_sixteen_heads_is_two(encoder, request_for):
    model, inputs = encoder
    request = request_for(inputs, 0.1)
    structured.prune(model, {}, request)
    assert sum(heads(model)) == 14
    assert structured.count(model, {}, request) == {"heads": 14, "neurons": 4 * 36}


@pytest.mark.parametrize("criterion", ["l2", "random"])
def test_every_layer_keeps_a_head_and_a_neuron_however_often_it_is_pruned(criterion, encoder, request_for):
    model, inputs = encoder
    for step in range(8):
        structured.prune(model, {}, request_for(inputs, 0.7, criterion, seed=step))
    assert heads(model) == [1, 1, 1, 1]
    assert all(layer.intermediate.dense.out_features == 1 for _, layer in attention.layers(model))
    assert output_of(model, inputs.example(3)).shape == (3, 7)


def test_heads_are_ranked_over_all_layers_together(encoder, request_for):
    model, inputs = encoder
    _, weak = attention.layers(model)[2]
    with torch.no_grad():
        for part in (weak.attention.self.query, weak.attention.self.key, weak.attention.self.value):
            part.weight.mul_(0.1)
    structured.prune(model, {}, request_for(inputs, 0.1))
    assert heads(model) == [4, 4, 2, 4]


def test_the_head_that_goes_is_the_one_with_the_smallest_weights(encoder, request_for):
    model, inputs = encoder
    _, layer = attention.layers(model)[1]
    own, size = layer.attention.self, layer.attention.self.attention_head_size
    with torch.no_grad():
        for part in (own.query, own.key, own.value):
            part.weight[size : 2 * size] *= 0.1
    expected = torch.cat([own.value.weight[:size], own.value.weight[2 * size :]])
    structured.prune(model, {}, request_for(inputs, 0.06, include=("*.attention.self",)))
    assert heads(model) == [4, 3, 4, 4]
    assert torch.equal(own.value.weight, expected)
    assert (own.all_head_size, own.attention_head_size) == (3 * size, size)


def test_globs_choose_between_heads_and_neurons(encoder, request_for):
    model, inputs = encoder
    structured.prune(model, {}, request_for(inputs, 0.5, exclude=("*.attention",)))
    assert heads(model) == [4, 4, 4, 4]
    assert {layer.intermediate.dense.out_features for _, layer in attention.layers(model)} == {20}


def test_prunable_weights_are_the_linear_ones_of_the_encoder(encoder):
    model, _ = encoder
    names = attention.prunable(model)
    assert len(names) == 4 * 6
    assert all(name.startswith("bert.encoder.layer.") for name in names)


def test_other_models_have_no_such_layers(tiny_net):
    assert attention.layers(tiny_net(3)) == []
