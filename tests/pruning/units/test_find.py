"""Units are what hangs together in the data: found in known models, and in what people write."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
import torch_pruning
from torch import nn

from prunebench.errors import ModelError
from prunebench.pruning.units.find import find


def conv(inputs, outputs, **kwargs):
    return nn.Conv2d(inputs, outputs, 3, padding=1, **kwargs)


def pooled(x):
    return x.mean((2, 3))


def summary(units):
    """Name, kind and number of units of every group."""
    return [(group.name, group.kind, group.units) for group in units.groups]


def places(group):
    """Per unit, what goes with it: a set of (parameter, dimension, index)."""
    found = [set() for _ in range(group.units)]
    for part in group.parts:
        for index, unit in zip(part.index.tolist(), part.unit.tolist(), strict=True):
            found[unit].add((part.parameter, part.dim, index))
    return found


@pytest.mark.parametrize(("name", "count"), [("alexnet", 5), ("vgg16", 13), ("resnet18", 12), ("resnet50", 37)])
def test_groups_of_convolutions_are_those_of_the_dependency_graph(name, count, fresh):
    state = fresh(name)
    model, example = state.model.eval(), state.architecture.inputs.example()
    names = {module: path for path, module in model.named_modules()}
    graph = torch_pruning.DependencyGraph().build_dependency(model, example_inputs=example)
    wanted = set()
    for group in graph.get_all_groups(root_module_types=[nn.Conv2d]):
        makers = {
            (names[item.dep.layer], len(item.idxs))
            for item in group
            if isinstance(item.dep.layer, nn.Conv2d) and graph.is_out_channel_pruning_fn(item.dep.pruning_fn)
        }
        wanted.add(frozenset(makers))
    found = set()
    for group in find(model, example).groups:
        if group.kind == "channels":
            found.add(frozenset((module, group.units) for module in group.modules))
    assert len(found) == count
    assert found == wanted


def test_the_model_is_left_as_it_was(written, images):
    model = written(lambda m, x: m.fc(pooled(m.n(m.a(x)))), a=conv(3, 4), n=nn.BatchNorm2d(4), fc=nn.Linear(4, 2))
    model.a.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    find(model, images)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.training
    assert not model.a.training
    assert torch.equal(torch.get_rng_state(), state)


def test_a_channel_goes_with_its_norm_and_the_columns_that_read_it(written, images):
    model = written(
        lambda m, x: m.fc(m.n(m.a(x)).relu().flatten(1)), a=conv(3, 4), n=nn.BatchNorm2d(4), fc=nn.Linear(256, 2)
    )
    (group,) = find(model, images).groups
    assert places(group)[1] == {
        ("a.weight", 0, 1),
        ("a.bias", 0, 1),
        *((f"n.{key}", 0, 1) for key in ("weight", "bias", "running_mean", "running_var")),
        *(("fc.weight", 1, 64 + i) for i in range(64)),
    }
    assert {part.parameter for part in group.parts if part.reads} == {"fc.weight"}


ORDERS = {
    "behind the image": (lambda m, x: torch.cat([x, m.a(x)], 1), 7, lambda c: [3 + c]),
    "flipped": (lambda m, x: m.a(x).flip(1), 4, lambda c: [3 - c]),
    "rolled": (lambda m, x: m.a(x).roll(1, 1), 4, lambda c: [(c + 1) % 4]),
    "permuted": (lambda m, x: m.a(x)[:, [2, 0, 3, 1]], 4, lambda c: [[2, 0, 3, 1].index(c)]),
    "shuffled": (lambda m, x: F.channel_shuffle(m.a(x), 2), 4, lambda c: [[0, 2, 1, 3].index(c)]),
    "twice": (lambda m, x: m.a(x).repeat(1, 2, 1, 1), 8, lambda c: [c, 4 + c]),
    "unshuffled": (lambda m, x: F.pixel_unshuffle(m.a(x), 2), 16, lambda c: range(4 * c, 4 * c + 4)),
    "written into a buffer": (
        lambda m, x: F.pad(torch.zeros_like(x), (0, 0, 0, 0, 0, 1)).copy_(m.a(x)),
        4,
        lambda c: [c],
    ),
    "compared": (lambda m, x: torch.where(m.a(x) > 0, 1.0, 0.0), 4, lambda c: [c]),
    "by sign": (lambda m, x: m.a(x).sign(), 4, lambda c: [c]),
}


@pytest.mark.parametrize("order", ORDERS)
def test_columns_are_found_wherever_a_channel_goes(order, written, images):
    move, width, columns = ORDERS[order]
    model = written(
        lambda m, x: m.fc(pooled(m.b(move(m, x)).relu())), a=conv(3, 4), b=conv(width, 5), fc=nn.Linear(5, 2)
    )
    units = find(model, images)
    assert summary(units) == [("a", "channels", 4), ("b", "channels", 5)]
    for c, found in enumerate(places(units.groups[0])):
        assert {index for name, dim, index in found if (name, dim) == ("b.weight", 1)} == set(columns(c))


def test_halves_that_meet_go_together(written, images):
    def forward(m, x):
        left, right = m.a(x).chunk(2, 1)
        return m.fc(pooled(left * right.sigmoid()))

    (group,) = find(written(forward, a=conv(3, 8), fc=nn.Linear(4, 2)), images).groups
    assert group.units == 4
    assert {index for name, _, index in places(group)[1] if name == "a.weight"} == {1, 5}


@pytest.mark.parametrize("together", [lambda h: h.softmax(1), lambda h: h * h.mean(1, keepdim=True)])
def test_channels_that_all_depend_on_each_other_stay(together, written, images):
    model = written(lambda m, x: m.fc(pooled(together(m.a(x)))), a=conv(3, 6), fc=nn.Linear(6, 2))
    units = find(model, images)
    assert units.groups == ()
    assert ("a",) in [spared.modules for spared in units.spared]


def test_grouped_convolutions_and_norms_go_by_groups(written, images):
    model = written(
        lambda m, x: m.fc(pooled(m.n(m.b(m.a(x)).relu()))),
        a=conv(3, 8),
        b=conv(8, 16, groups=4),
        n=nn.GroupNorm(2, 16),
        fc=nn.Linear(16, 2),
    )
    (group,) = find(model, images).groups
    assert (group.kind, group.units) == ("groups", 2)
    counts = {(part.parameter, part.dim): len(part.index) for part in group.parts}
    assert counts["a.weight", 0] == counts["n.weight", 0] / 2 == counts["b.weight", 0] / 2 == 8
    assert ("b.weight", 1) not in counts


def attention(m, x):
    h = m.a(x).flatten(2).transpose(1, 2)
    q, k, v = m.qkv(m.n(h)).unflatten(-1, (3, -1, 5)).permute(2, 0, 3, 1, 4)
    h = h + m.o(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
    return m.fc(h.mean(1))


def test_heads_come_out_by_themselves(written, images):
    model = written(
        attention,
        a=nn.Conv2d(3, 8, 2, 2),
        n=nn.LayerNorm(8),
        qkv=nn.Linear(8, 45),
        o=nn.Linear(15, 8),
        fc=nn.Linear(8, 2),
    )
    (group,) = find(model, images).groups
    assert (group.name, group.kind, group.units) == ("qkv", "heads", 3)
    rows = {index for name, _, index in places(group)[1] if name == "qkv.weight"}
    assert rows == {15 * part + 5 + i for part in range(3) for i in range(5)}


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_hidden_units_of_recurrent_layers_go_through_all_layers_and_directions(kind, written, images):
    model = written(
        lambda m, x: m.fc(m.r(x.flatten(2).transpose(1, 2))[0][:, -1]),
        r=kind(3, 4, num_layers=2, bidirectional=True, batch_first=True),
        fc=nn.Linear(8, 2),
    )
    (group,) = find(model, images).groups
    assert group.units == 4
    gates = {nn.LSTM: 4, nn.GRU: 3, nn.RNN: 1}[kind]
    counts = {(part.parameter, part.dim): len(part.index) / 4 for part in group.parts}
    assert counts["r.weight_hh_l1_reverse", 0] == gates
    assert counts["r.weight_ih_l1", 1] == 2
    assert counts["fc.weight", 1] == 2


def test_functional_calls_and_raw_parameters_are_seen(written, images):
    model = written(
        lambda m, x: m.fc(F.linear(pooled(F.conv2d(m.a(x), m.w)) * m.g, m.v.t()).relu()),
        a=conv(3, 4),
        w=nn.Parameter(torch.randn(5, 4, 1, 1)),
        g=nn.Parameter(torch.randn(5)),
        v=nn.Parameter(torch.randn(5, 6)),
        fc=nn.Linear(6, 2),
    )
    units = find(model, images)
    found = [{(part.parameter, part.dim) for part in group.parts} for group in units.groups]
    assert {("a.weight", 0), ("a.bias", 0), ("w", 1)} in found
    assert {("w", 0), ("g", 0), ("v", 0)} in found
    assert {("v", 1), ("fc.weight", 1)} in found


def test_tied_weights_are_one(written, images):
    model = written(
        lambda m, x: m.fc(pooled(m.c(m.b(m.a(x)).relu()))), a=conv(3, 4), b=conv(4, 4), c=conv(4, 4), fc=nn.Linear(4, 2)
    )
    model.c.weight = model.b.weight
    (group,) = find(model, images).groups
    counts = {(part.parameter, part.dim): len(part.index) for part in group.parts}
    assert counts["b.weight", 0] == counts["b.weight", 1] == 4
    assert {"a.weight", "fc.weight", "c.bias"} <= {name for name, _ in counts}


def test_parameters_beside_the_channels_of_a_group_go_with_them(written, images):
    model = written(
        lambda m, x: m.fc(pooled(m.p(m.b(m.a(x))))),
        a=conv(3, 8),
        b=conv(8, 8, groups=2),
        p=nn.PReLU(8),
        fc=nn.Linear(8, 2),
    )
    (group,) = find(model, images).groups
    assert {index for name, _, index in places(group)[1] if name == "p.weight"} == {4, 5, 6, 7}


def test_parametrized_weights_are_followed_to_their_source(written, images):
    normed = nn.utils.parametrizations.weight_norm
    model = written(
        lambda m, x: m.fc(pooled(m.b(m.a(x)))), a=normed(conv(3, 4)), b=normed(conv(4, 5)), fc=nn.Linear(5, 2)
    )
    units = find(model, images)
    assert summary(units) == [("a", "channels", 4), ("b", "channels", 5)]
    source = {(part.parameter, part.dim) for part in units.groups[0].parts}
    assert {("a.parametrizations.weight.original0", 0), ("b.parametrizations.weight.original1", 1)} <= source


def test_rows_of_a_weight_that_is_divided_by_its_norm_stay(written, images):
    model = written(
        lambda m, x: m.fc(pooled(m.b(m.a(x)))),
        a=nn.utils.parametrizations.spectral_norm(conv(3, 4)),
        b=conv(4, 5),
        fc=nn.Linear(5, 2),
    )
    assert summary(find(model, images)) == [("b", "channels", 5)]


def test_a_branch_of_training_alone_counts(written, images):
    def forward(m, x):
        h = m.a(x)
        return m.fc(pooled(h + m.c(h) if m.training else h))

    (group,) = find(written(forward, a=conv(3, 4), c=conv(4, 4), fc=nn.Linear(4, 2)), images).groups
    assert ("c.weight", 0) in {(part.parameter, part.dim) for part in group.parts}


def test_what_leaves_the_model_and_what_comes_into_it_stays(written, images):
    model = written(lambda m, x: (m.fc(pooled(m.a(x) + x)), m.b(x)), a=conv(3, 3), b=conv(3, 4), fc=nn.Linear(3, 2))
    units = find(model, images)
    assert units.groups == ()
    reasons = {module: spared.reason for spared in units.spared for module in spared.modules}
    assert reasons == {
        "a": "what no weight makes is added to its channels",
        "b": "it reaches the output",
        "fc": "it reaches the output",
    }


def test_scripted_parts_stay(images):
    with pytest.warns(FutureWarning):
        part = torch.jit.script(conv(3, 4))
    model = nn.Sequential(part, conv(4, 5), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 2))
    assert summary(find(model, images)) == [("1", "channels", 5)]


def test_mixing_of_tokens_passes_channels_and_has_units_of_its_own(written, images):
    def forward(m, x):
        h = m.a(x).flatten(2)
        return m.fc((h + m.u(m.d(h).relu())).flatten(1))

    model = written(forward, a=nn.Conv2d(3, 6, 2, 2), d=nn.Linear(16, 7), u=nn.Linear(7, 16), fc=nn.Linear(96, 2))
    assert summary(find(model, images)) == [("d", "neurons", 7)]


def test_a_model_that_does_not_run_is_told(written, images):
    with pytest.raises(ModelError, match="does not run on the example input"):
        find(written(lambda m, x: m.fc(x), fc=nn.Linear(5, 2)), images)
