"""Channel groups: what hangs together is found as a whole, and the output layer is left alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from prunebench.models.input_spec import InputSpec
from prunebench.pruning.groups import channels

SMALL = InputSpec(kind="images", size=8)


class Residual(nn.Module):
    """Two convolutions whose outputs are added, then a depthwise one, and two heads of which one is not used."""

    def __init__(self, groups: int = 6) -> None:
        super().__init__()
        self.output = nn.Linear(6, 4)
        self.left = nn.Conv2d(3, 6, 3, padding=1)
        self.right = nn.Conv2d(3, 6, 1, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.depthwise = nn.Conv2d(6, 6, 3, groups=groups)

    def forward(self, images):
        both = self.left(images) + self.norm(self.right(images))
        return self.output(self.depthwise(both).relu().mean((2, 3)))


@pytest.mark.parametrize(("name", "groups"), [("alexnet", 5), ("vgg16", 13), ("resnet18", 12), ("resnet50", 37)])
def test_a_known_model_has_its_known_number_of_groups(name, groups, fresh):
    state = fresh(name)
    found, notes = channels.groups_of(state.model, state.architecture.inputs)
    assert len(found) == groups
    assert notes == ()


def test_layers_that_are_added_form_one_group_with_their_norm_and_readers():
    model = Residual()
    (group,), notes = channels.groups_of(model, SMALL)
    assert (group.kind, group.units, notes) == ("channels", 6, ())
    assert set(group.modules) == {"left", "right", "depthwise"}
    held = {(part.parameter, part.dim) for part in group.slices}
    outputs = {"left.weight", "left.bias", "right.weight", "norm.weight", "norm.bias"}
    outputs |= {"depthwise.weight", "depthwise.bias"}
    assert held == {(name, 0) for name in outputs} | {("output.weight", 1)}


def test_removing_a_unit_takes_it_from_every_layer_of_the_group():
    model = Residual()
    norm = model.norm.weight
    with torch.no_grad():
        norm.copy_(torch.arange(6.0))
    (group,), _ = channels.groups_of(model, SMALL)
    group.remove([1, 4])
    assert model.norm.weight.tolist() == [0, 2, 3, 5]
    assert [len(layer.weight) for layer in (model.left, model.right, model.depthwise)] == [4, 4, 4]
    assert model.output.weight.shape == (4, 4)
    assert model(SMALL.example(2)).shape == (2, 4)


def test_grouped_convolutions_are_spared_and_named():
    found, notes = channels.groups_of(Residual(groups=2), SMALL)
    assert found == []
    assert len(notes) == 1
    assert "depthwise" in notes[0]


def test_the_output_layer_is_the_one_that_runs_last_wherever_it_is_defined():
    model = Residual()
    assert channels.output_layer(model, SMALL) is model.output


def test_finding_groups_leaves_the_mode_and_the_weights_of_a_model(fresh):
    state = fresh("resnet18")
    before = {name: tensor.clone() for name, tensor in state.model.state_dict().items()}
    state.model.train()
    channels.groups_of(state.model, state.architecture.inputs)
    assert all(module.training for module in state.model.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in state.model.state_dict().items())


def test_prunable_weights_are_those_of_convolutions_or_else_of_linear_layers():
    assert set(channels.prunable(Residual())) == {"left.weight", "right.weight", "depthwise.weight"}
    assert channels.prunable(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))) == ["0.weight", "2.weight"]
