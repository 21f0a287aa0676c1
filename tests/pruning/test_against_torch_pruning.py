"""Units score, and go, as torch-pruning has it, on the same weights of a ResNet18.

What is the same: l1 and l2 are its MagnitudeImportance, taylor-abs its TaylorImportance, bn-scale its
BNScaleImportance, and LAMP's shares of units its LAMPImportance, where weights of convolutions and linear layers alone
count (`target_types`; by default it adds the squares of norms' scales) and layers are summed up. Its `normalizer` is
`--group-normalisation`. What differs:

- its `mean` divides a unit's sum by the number of layers, ours by the number of weights: alike within a group, and
  where groups are normalised;
- with `multivariable=True` it takes |Σ w·g| of every layer, and `taylor` squares the sum over all layers;
- its FPGMImportance measures distances of squared weights, layer by layer; `fpgm` those of weights, of the filters that
  make a unit;
- its global ranking prunes what is not above a threshold, so that of equal scores more go than are asked for.
"""

from __future__ import annotations

import copy

import pytest
import torch
import torch_pruning
from torch import nn
from torch_pruning.pruner import importance

from prunebench.pruning.budgets import ranked
from prunebench.pruning.methods import structured
from prunebench.pruning.registry import Request, criteria, methods
from prunebench.pruning.shares import of_units
from prunebench.pruning.unit_scores import shares_scores, unit_scores
from prunebench.pruning.units.removable import find_removable

WEIGHTS = [nn.Conv2d, nn.Linear]


@pytest.fixture(scope="module")
def resnet(fresh):
    """A model with gradients, what of it can be removed, and torch-pruning's groups by their first layer."""
    state = fresh("resnet18", 32)
    model, inputs = state.model, state.architecture.inputs
    torch.manual_seed(1)
    nn.functional.cross_entropy(model(torch.randn(4, 3, 32, 32)), torch.tensor([0, 1, 2, 3])).backward()
    graph = torch_pruning.DependencyGraph().build_dependency(model, example_inputs=inputs.example())
    names = {module: name for name, module in model.named_modules()}
    theirs = {}
    for group in graph.get_all_groups(ignored_layers=[model.fc], root_module_types=[nn.Conv2d]):
        makers = [item for item in group if graph.is_out_channel_pruning_fn(item.dep.pruning_fn)]
        theirs[frozenset(names[item.dep.layer] for item in makers if isinstance(item.dep.layer, nn.Conv2d))] = group
    return model, inputs, find_removable(model, inputs), theirs


def theirs_of(resnet, scorer):
    """The scores of every group, in the order of ours."""
    return [scorer(resnet[3][frozenset(group.modules)]) for group in resnet[2].groups]


def request_of(resnet, criterion, **about):
    model, inputs, found, _ = resnet
    score = methods.get("structured").ranking(criteria.get(criterion))
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    return Request(0.5, score, inputs, removable=found, evidence={"gradient": gradients}, **about)


def magnitude(p, normalizer=None, reduction="sum"):
    return importance.GroupMagnitudeImportance(p, reduction, normalizer, target_types=WEIGHTS)


def scale(normalizer=None):
    return importance.BNScaleImportance("sum", normalizer)


def taylor(normalizer=None):
    return importance.GroupTaylorImportance("sum", normalizer, target_types=WEIGHTS)


@pytest.mark.parametrize("normaliser", ["none", "mean", "max"])
@pytest.mark.parametrize(
    ("criterion", "make"),
    [
        ("l1", lambda normalizer: magnitude(1, normalizer)),
        ("l2", lambda normalizer: magnitude(2, normalizer)),
        ("taylor-abs", taylor),
        ("bn-scale", scale),
    ],
)
def test_scores_are_the_same(resnet, criterion, make, normaliser):
    request = request_of(resnet, criterion, group_normalisation=normaliser)
    ours = unit_scores(resnet[0], resnet[2].groups, request)
    theirs = theirs_of(resnet, make(None if normaliser == "none" else normaliser))
    for own, other in zip(ours, theirs, strict=True):
        assert torch.tensor(own) == pytest.approx(other, rel=1e-5, abs=1e-5 * float(other.max()))


def test_shares_by_lamp_are_the_same(resnet):
    scorer = importance.LAMPImportance(group_reduction="sum")
    scorer.target_types = WEIGHTS
    ours = shares_scores(resnet[0], resnet[2].groups, request_of(resnet, "l2"), of_units("lamp"))
    for own, other in zip(ours, theirs_of(resnet, scorer), strict=True):
        assert torch.tensor(own).float() == pytest.approx(other, rel=1e-4)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_reduced_by_the_mean_and_normalised_the_order_is_the_same(resnet, reduction):
    request = request_of(resnet, "l2", group_normalisation="mean", group_reduction=reduction)
    ours = unit_scores(resnet[0], resnet[2].groups, request)
    theirs = theirs_of(resnet, magnitude(2, "mean", "mean"))
    for own, other in zip(ours, theirs, strict=True):
        assert torch.tensor(own) == pytest.approx(other, rel=1e-5)


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_the_same_units_go_of_a_global_ranking(resnet, share):
    model, inputs, found, _ = resnet
    request = request_of(resnet, "l2", scope="global", group_normalisation="mean", gone=share)
    chosen = ranked(model, found.groups, request).chosen()
    scores = theirs_of(resnet, magnitude(2, "mean"))
    threshold = torch.cat(scores).sort().values[sum(map(len, chosen)) - 1]
    assert [sorted((each <= threshold).nonzero()[:, 0].tolist()) for each in scores] == chosen
    ours, theirs = copy.deepcopy(model), copy.deepcopy(model)
    structured.prune(ours, {}, request)
    settings = {"global_pruning": True, "pruning_ratio": share, "ignored_layers": [theirs.fc]}
    torch_pruning.pruner.BasePruner(theirs, inputs.example(), magnitude(2, "mean"), **settings).step()
    widths = [
        {name: module.out_channels for name, module in each.named_modules() if isinstance(module, nn.Conv2d)}
        for each in (ours, theirs)
    ]
    assert widths[0] == widths[1]
