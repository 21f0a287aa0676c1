"""Layers that no longer tell samples apart are found and named, in the model and in the records of a run."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from prunebench import prune
from prunebench.models.collapse import collapsed
from prunebench.models.layers import layer_records

WEIGHTS = ("features.0.weight", "features.4.weight", "classifier.1.weight", "classifier.3.weight")
"""Those of the small CNN."""

ZERO, CONSTANT = "all weights are zero", "outputs are constant"


@pytest.fixture
def images():
    """Some noise."""
    return torch.randn(16, 3, 12, 12, generator=torch.Generator().manual_seed(0))


def fill(model, **values):
    with torch.no_grad():
        for name, value in values.items():
            model.get_parameter(name.replace("__", ".")).fill_(value)
    return model


def test_a_healthy_model_has_no_collapsed_layer(tiny_state, images):
    assert collapsed(tiny_state().model, images) == {}


@pytest.mark.parametrize("name", ["resnet18", "alexnet", "bert"])
def test_no_layer_of_a_registered_model_has_collapsed_when_it_is_new(name, fresh):
    state = fresh(name)
    assert collapsed(state.model, state.architecture.inputs.example(8)) == {}


def test_a_layer_without_weights_is_named_and_all_that_hang_on_it(tiny_state, images):
    model = fill(tiny_state().model, features__4__weight=0.0)
    assert collapsed(model, images) == {"features.4": ZERO, "classifier.1": CONSTANT, "classifier.3": CONSTANT}
    model = fill(tiny_state().model, classifier__3__weight=0.0)
    assert collapsed(model, images) == {"classifier.3": ZERO}


def test_layers_behind_a_dead_relu_are_constant_though_they_have_weights(tiny_state, images):
    model = fill(tiny_state().model, features__5__weight=0.0, features__5__bias=-1.0)  # norm before the last ReLU
    assert collapsed(model, images) == {"classifier.1": CONSTANT, "classifier.3": CONSTANT}


def test_layers_beside_a_shortcut_live_on(fresh):
    state = fresh("resnet18")
    with torch.no_grad():
        state.model.layer2[1].conv1.weight.zero_()
    assert collapsed(state.model, state.architecture.inputs.example(8)) == {
        "layer2.1.conv1": ZERO,
        "layer2.1.conv2": CONSTANT,
    }


def test_a_text_models_linear_layers_are_told(fresh):
    state = fresh("bert")
    with torch.no_grad():
        state.model.bert.pooler.dense.weight.zero_()
    found = collapsed(state.model, state.architecture.inputs.example(8))
    assert found == {"bert.pooler.dense": ZERO, "classifier": CONSTANT}


def test_one_sample_or_the_same_one_tells_nothing_but_that_weights_are_zero(tiny_state, images):
    model = fill(tiny_state().model, features__4__weight=0.0)
    assert collapsed(model, images[:1]) == {"features.4": ZERO}


def test_small_differences_are_no_collapse(images):
    model = nn.Sequential(nn.Flatten(), nn.Linear(432, 4), nn.Linear(4, 2))
    fill(model, **{"1.weight": 1e-4, "1.bias": 1.0})
    assert collapsed(model, images) == {}


def test_looking_changes_nothing(tiny_state, images):
    model = fill(tiny_state().model, features__4__weight=0.0).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    collapsed(model, images)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(module.training for module in model.modules())
    assert not any(module._forward_hooks for module in model.modules())
    model.register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        collapsed(model, images)
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())


def test_the_record_of_a_layer_says_how_it_collapsed(tiny_state):
    records = layer_records(tiny_state().model, {}, (), {"features.4": ZERO}, WEIGHTS)
    assert [layer.collapsed for layer in records] == ["", ZERO, "", ""]


def test_a_run_that_removes_all_but_everything_records_which_layers_collapsed(tiny_config):
    config = tiny_config(method="unstructured", fraction=0.99, iterations=2, epochs=1, finetune_epochs=0)
    dense, _, last = prune(config)
    assert not any(layer.collapsed for layer in dense.layers)
    ways = {layer.name: layer.collapsed for layer in last.layers}
    assert (
        {name for name, way in ways.items() if way == ZERO}
        == {layer.name for layer in last.layers if layer.weights_left == 0}
        != set()
    )
    assert ways["classifier.3"] in (ZERO, CONSTANT)
