"""Groups, and their parts, come in the order of torch-pruning's graph: what is drawn at random depends on it."""

from __future__ import annotations

import pytest
import torch
import torch_pruning
from torch import nn

from prunebench.pruning.units.find import find
from prunebench.pruning.units.order import arranged


def by_graph(model, example):
    """Parameters and dimensions of each group of convolutions, as torch-pruning lists them."""
    last = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    names = {module: name for name, module in model.named_modules()}
    graph = torch_pruning.DependencyGraph().build_dependency(model, example_inputs=example)
    found = []
    for group in graph.get_all_groups(ignored_layers=[last], root_module_types=[nn.Conv2d]):
        parts = []
        for item in group:
            layer, makes = item.dep.layer, graph.is_out_channel_pruning_fn(item.dep.pruning_fn)
            for key, parameter in layer.named_parameters(recurse=False) if layer in names else ():
                if parameter.ndim > 1 or makes or not isinstance(layer, (nn.Conv2d, nn.Linear)):
                    parts.append((f"{names[layer]}.{key}", 0 if makes or parameter.ndim == 1 else 1))
        found.append(parts)
    return found


@pytest.mark.parametrize("name", ["alexnet", "vgg16", "resnet18", "resnet50"])
def test_groups_of_convolutions_come_as_in_the_graph(name, fresh):
    state = fresh(name, 64)
    example = state.architecture.inputs.example()
    parameters = dict(state.model.named_parameters())
    groups = arranged(state.model, example, find(state.model, example).groups)
    ours = [[(part.parameter, part.dim) for part in group.parts if part.parameter in parameters] for group in groups]
    ours = [parts for parts in ours if parameters[parts[0][0]].ndim == 4]
    assert ours == by_graph(state.model, example)


def test_where_heads_are_among_them_the_order_is_that_of_the_parameters(fresh):
    state = fresh("bert")
    example = state.architecture.inputs.example()
    order = list(dict(state.model.named_parameters()))
    groups = arranged(state.model, example, find(state.model, example).groups)
    assert {group.kind for group in groups} == {"heads", "neurons"}
    firsts = [order.index(group.parts[0].parameter) for group in groups]
    assert firsts == sorted(firsts)


def test_parameters_that_autograd_does_not_reach_come_last_and_gradients_stay_asked_as_they_were():
    model = nn.Sequential(
        nn.Conv2d(3, 6, 1), nn.Conv2d(6, 5, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 2)
    )
    model[0].weight.requires_grad_(False)
    example = torch.randn(1, 3, 4, 4)
    groups = arranged(model, example, find(model, example).groups)
    assert [group.name for group in groups] == ["1", "0"]
    assert not model[0].weight.requires_grad
    assert model[1].weight.requires_grad
