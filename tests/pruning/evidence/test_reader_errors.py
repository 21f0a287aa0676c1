"""Sums over pairs of units are the errors that layers make which read zeros in the place of these units."""

from __future__ import annotations

import itertools
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from prunebench.errors import ConfigError
from prunebench.models.input_spec import InputSpec
from prunebench.pruning.evidence import reader_errors as evidence
from prunebench.pruning.evidence.reader_errors import reader_errors
from prunebench.pruning.methods import structured
from prunebench.pruning.registry import Request, criteria
from prunebench.pruning.units.groups import Group, Part, module_of


def task_of(data):
    """A task of given samples."""
    return SimpleNamespace(
        inputs=InputSpec(kind="images", size=12),
        targets=SimpleNamespace(some=lambda part, count: torch.arange(min(count, len(data)))),
        batches=lambda part, chunks, device: ((data[chunk], None) for chunk in chunks),
    )


class Reading(nn.Module):
    """Two layers that make units, side by side, and layers that read them: one both, one those of the first alone."""

    def __init__(self):
        super().__init__()
        self.one, self.other = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 5, 3)
        self.both, self.first = nn.Conv2d(9, 6, 3, 2, 1), nn.Conv2d(4, 2, 1)
        self.last = nn.Linear(8, 3)

    def forward(self, images):
        one, other = self.one(images).relu(), self.other(images).relu()
        both = self.both(torch.cat([one, other], 1)).relu().mean((2, 3))
        return self.last(torch.cat([both, self.first(one).relu().mean((2, 3))], 1))


class Adding(nn.Module):
    """What a layer reads is what it adds to."""

    def __init__(self):
        super().__init__()
        self.before, self.inner, self.after = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(6, 3, 1)

    def forward(self, images):
        states = self.before(images).relu()
        return self.after((states + self.inner(states)).relu()).mean((2, 3))


class Attending(nn.Module):
    """Heads that an output projection reads, over patches of 4 × 4."""

    def __init__(self):
        super().__init__()
        self.patches, self.attention = nn.Conv2d(3, 8, 4, 4), nn.MultiheadAttention(8, 4, batch_first=True)
        self.last = nn.Linear(8, 3)

    def forward(self, images):
        states = self.patches(images).flatten(2).mT
        return self.last(self.attention(states, states, states, need_weights=False)[0].relu().mean(1))


def asked(task, **about):
    return Request(0.25, criteria.get("thinet").unit, task.inputs, task=task, calibration=20, **about)


def reading(parameter, dim, index, unit):
    """A group of units of which one layer reads so many columns each."""
    part = Part(parameter, dim, torch.tensor(index), torch.tensor(unit), True)
    return Group("before", "channels", max(unit) + 1, (part,), ("before",))


@torch.no_grad()
def error(layers, read, group, gone):
    """What the outputs of layers change by, squared and summed up, where their columns of some units are zero."""
    total = 0.0
    for part in (part for part in group.parts if part.reads):
        name = module_of(part.parameter)
        layer, data = layers[name].double(), read[name].double()
        weight = layer.get_parameter(part.parameter.removeprefix(name).lstrip("."))
        before, kept = layer(data), weight.clone()
        weight.index_fill_(part.dim, part.index[torch.isin(part.unit, torch.tensor(gone))], 0)
        total += float((layer(data) - before).square().sum())
        weight.copy_(kept)
        layer.float()
    return total


def check(pairs, layers, read, group):
    """Of every unit, of all pairs, and of all units."""
    units = range(group.units)
    sets = [[unit] for unit in units] + [list(pair) for pair in itertools.combinations(units, 2)]
    whole = error(layers, read, group, list(units))
    assert whole > 0
    for gone in [*sets, list(units)]:
        found = pairs[gone][:, gone].sum().item()
        assert found == pytest.approx(error(layers, read, group, gone), rel=1e-5, abs=1e-6 * whole)


LAYERS = {
    "linear": (lambda: nn.Linear(6, 4), (20, 6), (1, [5, 0, 3, 1], [0, 1, 2, 2])),
    "linear over positions": (lambda: nn.Linear(6, 4), (20, 3, 6), (1, [0, 1, 2, 3, 4, 5], [0, 0, 1, 1, 2, 2])),
    "strided": (lambda: nn.Conv2d(3, 4, 3, 2, 1), (20, 3, 7, 6), (1, [0, 1, 2], [2, 0, 1])),
    "dilated": (lambda: nn.Conv2d(4, 4, (3, 2), (2, 1), (0, 1), (1, 2)), (20, 4, 9, 8), (1, [0, 1, 3], [0, 1, 2])),
    "grouped": (lambda: nn.Conv2d(6, 4, 3, groups=2), (20, 6, 6, 6), (1, [0, 1, 2], [0, 1, 2])),
    "one dimension": (lambda: nn.Conv1d(3, 4, 3, 2, 1), (20, 3, 8), (1, [0, 1, 2], [0, 1, 2])),
}


@pytest.mark.parametrize("name", LAYERS)
def test_sums_over_pairs_are_errors_of_the_layer_that_reads(name):
    torch.manual_seed(0)
    build, shape, (dim, index, unit) = LAYERS[name]
    layer, data = build(), torch.randn(shape)
    group = reading("weight", dim, index, unit)
    (pairs,) = reader_errors(layer, [group], asked(task_of(data)))
    check(pairs, {"": layer}, {"": data}, group)


def test_of_weights_that_lie_the_other_way_round_too():
    from transformers.pytorch_utils import Conv1D

    layer, data = Conv1D(4, 3), torch.randn(20, 5, 3)
    group = reading("weight", 0, [0, 1, 2], [0, 1, 2])
    (pairs,) = reader_errors(layer, [group], asked(task_of(data)))
    check(pairs, {"": layer}, {"": data}, group)


@pytest.mark.parametrize("build", [Reading, Adding, "flattened"], ids=["several readers", "residual", "flattened"])
def test_of_what_is_found_in_a_model_errors_of_all_that_read_add_up(build, tiny_net):
    torch.manual_seed(0)
    model = (tiny_net(3) if build == "flattened" else build()).eval()
    data, read = torch.randn(20, 3, 12, 12), {}
    request = asked(task_of(data))
    groups = structured.groups_of(model, request)
    names = {module_of(part.parameter) for group in groups for part in group.parts if part.reads}
    layers = {name: model.get_submodule(name) for name in names}
    hooks = [
        layer.register_forward_hook(lambda _, given, out, name=name: read.update({name: given[0].detach()}))
        for name, layer in layers.items()
    ]
    model(data)
    for hook in hooks:
        hook.remove()
    for group, pairs in zip(groups, reader_errors(model, groups, request), strict=True):
        check(pairs, layers, read, group)


def test_of_heads_it_is_the_error_of_what_the_projection_makes_of_them():
    torch.manual_seed(0)
    model, data = Attending().eval(), torch.randn(20, 3, 12, 12)
    request = asked(task_of(data), include=("attention",))
    (group,) = (group for group in structured.groups_of(model, request) if group.kind == "heads")
    (pairs,) = reader_errors(model, [group], request)
    weight, given = model.attention.out_proj.weight, model.patches(data).flatten(2).mT
    before = model.attention(given, given, given, need_weights=False)[0]
    for gone in ([0], [1, 3]):
        (part,) = (part for part in group.parts if part.reads)
        kept = weight.detach().clone()
        weight.data[:, part.index[torch.isin(part.unit, torch.tensor(gone))]] = 0
        told = (model.attention(given, given, given, need_weights=False)[0] - before).square().sum()
        weight.data.copy_(kept)
        assert pairs[gone][:, gone].sum().item() == pytest.approx(told.item(), rel=1e-4)


def test_the_samples_pass_once_for_a_reader_of_several_groups_and_blocks_of_columns_change_nothing(monkeypatch):
    model, data, passes = Reading().eval(), torch.randn(20, 3, 12, 12), []
    request = asked(task_of(data), include=("one", "other"))
    groups = structured.groups_of(model, request)
    usual = list(reader_errors(model, groups, request))
    monkeypatch.setattr(evidence, "VALUES", 100)
    gram_for = evidence.gram_for
    monkeypatch.setattr(evidence, "gram_for", lambda *args, **about: passes.append(args[2]) or gram_for(*args, **about))
    for one, other in zip(usual, reader_errors(model, groups, request), strict=True):
        assert torch.allclose(one, other, rtol=1e-9)
    assert sorted(passes) == ["both.weight", "first.weight"]


def test_what_cannot_be_told_is_refused_by_what_makes_the_units():
    data, layer = torch.randn(20, 3), nn.Linear(3, 3)
    message = r"^What weight is multiplied with cannot be told, .*: --exclude 'before', or give another criterion\.$"
    with pytest.raises(ConfigError, match=message):
        list(reader_errors(layer, [reading("weight", 0, [0, 1], [0, 1])], asked(task_of(data))))
    layer.register_buffer("table", torch.eye(3))
    with pytest.raises(ConfigError, match=r"^What table .*: --exclude 'before'"):
        list(reader_errors(layer, [reading("table", 1, [0, 1], [0, 1])], asked(task_of(data))))
    none = Request(0.25, criteria.get("thinet").unit, InputSpec(kind="images", size=12))
    with pytest.raises(ConfigError, match="takes training data; here is none"):
        list(reader_errors(layer, [reading("weight", 1, [0, 1], [0, 1])], none))


def test_units_that_a_recurrent_layer_reads_are_refused_by_what_makes_them():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.rnn, self.last = nn.Conv2d(3, 4, 3), nn.LSTM(4, 5, batch_first=True), nn.Linear(5, 3)

        def forward(self, images):
            return self.last(self.rnn(self.conv(images).relu().mean(3).mT)[0].mean(1))

    model, data = Net().eval(), torch.randn(20, 3, 12, 12)
    request, message = asked(task_of(data), include=("conv",)), r"^What rnn\.weight_ih_l0 .*: --exclude 'conv', or give"
    for name in ("thinet", "activation"):
        with pytest.raises(ConfigError, match=message):
            structured.prune(model, {}, replace(request, criterion=criteria.get(name).unit))


def test_experts_are_refused_since_others_are_chosen_in_their_place():
    experts = Group("experts", "experts", 2, (), ("experts", "router"))
    request = asked(task_of(torch.randn(20, 3)))
    with pytest.raises(ConfigError, match=r"without an expert others are chosen, .* give another criterion\.$"):
        request.check_units(nn.Linear(3, 3), [experts])
