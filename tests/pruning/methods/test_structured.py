"""Structured pruning removes whole units: as many as the original study did, and nothing else changes."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from prunebench.errors import ConfigError
from prunebench.models.architecture import models
from prunebench.models.input_spec import InputSpec, output_of
from prunebench.models.layers import layer_records, prunable_weights
from prunebench.models.sizes import tensors_of
from prunebench.pruning.budgets import left_after
from prunebench.pruning.methods import structured
from prunebench.pruning.registry import Request, criteria, needs
from prunebench.pruning.rounds import in_rounds
from prunebench.pruning.units.removable import find_removable

WEIGHTS = [name for name in criteria.names() if (score := criteria.get(name).score) and not needs(score)]
"""Criteria that score single weights by themselves."""

MASKED_AND_ACTUAL = {  # conv weights after each of ten iterations of 0.1, from the original study
    "alexnet": [
        (2468544, 2468544),
        (2220542, 2002946),
        (1998204, 1623354),
        (1796261, 1314445),
        (1614222, 1063071),
        (1450850, 860953),
        (1305654, 698199),
        (1173365, 567050),
        (1057652, 462041),
        (951027, 374379),
        (853981, 303500),
    ],
    "vgg16": [
        (14710464, 14710464),
        (13242078, 11918862),
        (11919420, 9655866),
        (10713717, 7801947),
        (9647982, 6325848),
        (8672130, 5111478),
        (7809174, 4144176),
        (7030341, 3357891),
        (6340788, 2731356),
        (5707683, 2212587),
        (5133357, 1789767),
    ],
}


EACH = [pytest.param(name, marks=pytest.mark.slow if name == "vgg16" else ()) for name in models.names()]
"""That of 40 million parameters takes long; its layers are AlexNet's."""


@pytest.mark.parametrize(("name", "size"), [("alexnet", 64), ("vgg16", 32)])
def test_parameter_counts_are_those_of_the_original_study(name, size, fresh, request_for):
    state = fresh(name, size)
    inputs, model = state.architecture.inputs, state.model
    request = request_for(inputs, 0.1, keeps=models.get(name).keeps, removable=find_removable(model, inputs, (0.1,)))
    weights = [f"{path}.weight" for path, part in model.named_modules() if isinstance(part, (nn.Conv2d, nn.Linear))]
    first = layer_records(model, {}, (), {}, weights)
    counts = []
    for step in range(11):
        if step:
            structured.prune(model, {}, request)
        original, masked, actual = prunable_weights(
            structured.prunable(model, request), layer_records(model, {}, first, {}, weights)
        )
        counts.append((masked, actual))
        assert original == MASKED_AND_ACTUAL[name][0][0]
    assert counts == MASKED_AND_ACTUAL[name]


@pytest.mark.parametrize("name", EACH)
def test_removing_units_equals_masking_them(name, fresh, request_for):
    state = fresh(name)
    model, inputs = state.model, state.architecture.inputs
    found = find_removable(model, inputs)
    structured.prune(model, {}, request_for(inputs, 0.1, removable=found))  # what is compared is a second step
    request, whole = request_for(inputs, 0.3, removable=found), copy.deepcopy(model)
    masked = [zero_chosen(copy.deepcopy(model), request, dim) for dim in (0, 1)]
    structured.prune(model, {}, request)
    for attention in ("sdpa", "eager") if inputs.kind == "text" else (None,):
        for batch in batches(inputs):
            before, after = outputs(whole, batch, attention), outputs(model, batch, attention)
            assert (after - before).abs().max() > 1e-3 * before.abs().max()
            for other in masked:
                assert (after - outputs(other, batch, attention)).abs().max() < 1e-9 * before.abs().max()


@pytest.mark.parametrize("name", EACH)
def test_classes_are_never_removed(name, fresh, request_for):
    state = fresh(name)
    structured.prune(state.model, {}, request_for(state.architecture.inputs, 0.95))
    with torch.no_grad():
        assert output_of(state.model, state.architecture.inputs.example(2)).shape == (2, 7)


@pytest.mark.parametrize("criterion", WEIGHTS)
def test_every_criterion_removes_the_same_number(criterion, tiny_state, request_for):
    state = tiny_state()
    structured.prune(state.model, {}, request_for(state.architecture.inputs, 0.5, criterion))
    assert [state.model.features[i].out_channels for i in (0, 4)] == [4, 6]


@settings(max_examples=12, deadline=None)
@given(widths=st.lists(st.integers(1, 9), min_size=1, max_size=4), fraction=st.floats(0.05, 0.99))
def test_each_group_loses_its_rounded_share_and_keeps_a_unit(widths, fraction):
    sizes = [3, *widths]
    model = nn.Sequential(
        *(nn.Conv2d(a, b, 1) for a, b in zip(sizes, widths, strict=False)), nn.Conv2d(sizes[-1], 2, 1)
    )
    request = Request(fraction, criteria.get("l2").score, InputSpec(kind="images", size=4))
    model = nn.Sequential(model, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    if max(widths) == 1:
        with pytest.raises(ConfigError, match="no units of this model can be removed"):
            structured.prune(model, {}, request)
        return
    request = replace(request, removable=find_removable(model, request.inputs, (fraction,)))
    expected = widths
    for _ in range(4):
        structured.prune(model, {}, request)
        expected = [max(1, width - round(fraction * width)) for width in expected]
        assert [conv.out_channels for conv in model[0]] == [*expected, 2]


@pytest.mark.parametrize(
    ("widths", "left", "note"),
    [
        ((4, 4), (4, 4), "nothing was removed from 2 of 2 groups (1, 0)"),
        ((4, 20), (4, 18), "nothing was removed from 1 of 2 groups (0)"),
        ((20, 20), (18, 18), None),
    ],
)
def test_groups_from_which_nothing_goes_are_noted(widths, left, note, request_for):
    first, second = widths
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(second, 2))
    model = nn.Sequential(nn.Conv2d(3, first, 1), nn.Conv2d(first, second, 1), *head)
    pruned = structured.prune(model, {}, request_for(InputSpec(kind="images", size=4), 0.1))
    assert (model[0].out_channels, model[1].out_channels) == left
    assert pruned.notes == ((note,) if note else ())


@given(st.integers(1, 600), st.floats(0.01, 0.99), st.integers(1, 40), st.integers(1, 64))
def test_the_rounded_width_is_the_first_multiple_above_the_schedule(units, fraction, steps, multiple):
    exact, before = units, units
    for step in range(1, steps + 1):
        exact = max(1, exact - round(fraction * exact))
        left = left_after(units, fraction, step, multiple)
        assert left == units or left % multiple == 0
        assert exact <= left <= min(exact + multiple - 1, before)
        before = left


@pytest.fixture(scope="module", params=[("resnet18", 8), ("resnet18", 24), ("bert", 8)], ids=str)
def rounded(request, fresh, request_for):
    """A model before and after each of four steps with rounding, and what makes the request of a step."""
    name, multiple = request.param
    state = fresh(name, 32)
    removable = find_removable(state.model, state.architecture.inputs, (0.3,))

    def ask(step, **about):
        about = {"removable": removable, "round_to": multiple, **about}
        return request_for(state.architecture.inputs, 0.3, step=step, **about)

    model, models = copy.deepcopy(state.model), [state.model]
    for step in range(1, 5):
        structured.prune(model, {}, ask(step))
        models.append(copy.deepcopy(model))
    return models, ask


def test_rounded_widths_follow_the_schedule_of_the_original_and_heads_are_not_rounded(rounded):
    (original, *models), ask = rounded
    first = structured.groups_of(original, ask(1))
    for step, model in enumerate(models, 1):
        heads = 0
        for was, now in zip(first, structured.groups_of(model, ask(1)), strict=True):
            if was.kind == "heads":
                heads += now.units
                continue
            exact = was.units
            for _ in range(step):
                exact -= round(0.3 * exact)
            assert now.units == was.units or now.units % ask(1).round_to == 0
            assert exact <= now.units < exact + ask(1).round_to
        assert heads in (0, {1: 6, 2: 4, 3: 3, 4: 2}[step])  # of 8 in two layers


def test_one_call_from_the_original_gives_the_widths_of_as_many_steps(rounded):
    (original, *models), ask = rounded
    for step in (1, 2, 4):
        once = copy.deepcopy(original)
        structured.prune(once, {}, ask(step))
        shapes = {name: tuple(tensor.shape) for name, tensor in models[step - 1].state_dict().items()}
        assert {name: tuple(tensor.shape) for name, tensor in once.state_dict().items()} == shapes


def test_without_rounding_the_step_does_not_matter(rounded):
    (original, *_), ask = rounded
    plain, told = copy.deepcopy(original), copy.deepcopy(original)
    structured.prune(plain, {}, ask(1, round_to=1))
    structured.prune(told, {}, ask(7, round_to=1))
    for name, tensor in plain.state_dict().items():
        assert torch.equal(tensor, told.state_dict()[name])


def test_a_step_whose_multiple_is_not_reached_is_noted_and_a_later_one_removes(request_for):
    inputs = InputSpec(kind="images", size=4)
    model = nn.Sequential(nn.Conv2d(3, 16, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 2))
    found, removable = [], find_removable(model, inputs, (0.1,))
    for step in range(1, 9):
        about = {"step": step, "round_to": 8, "removable": removable}
        notes = structured.prune(model, {}, request_for(inputs, 0.1, **about)).notes
        found.append((model[0].out_channels, notes != ()))
    # 14, 13, 12, 11, 10, 9, 8, 7 without rounding
    assert found == [*[(16, True)] * 6, (8, False), (8, True)]


@pytest.mark.parametrize("layers", [[], [nn.BatchNorm2d(3)]])
def test_a_model_without_a_conv_or_linear_layer_is_refused(layers, request_for):
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(ConfigError, match="no units of this model can be removed"):
        structured.prune(model, {}, request_for(InputSpec(kind="images", size=4)))


@pytest.mark.parametrize(("groups", "left"), [(1, 8), (4, 6), (8, 6)])
def test_channels_of_a_group_norm_go_with_their_whole_group(groups, left, request_for):
    inputs = InputSpec(kind="images", size=4)
    parts = (nn.Conv2d(8, 8, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))
    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.GroupNorm(groups, 8), *parts)
    structured.prune(model, {}, request_for(inputs, 0.3))
    assert (model[0].out_channels, model[1].num_channels, model[2].out_channels) == (left, left, 6)
    assert output_of(model, inputs.example(2)).shape == (2, 2)


def test_what_is_removed_are_the_units_of_smallest_norm_with_all_weights_that_go_with_them(tiny_state, request_for):
    state = tiny_state()
    model = state.model
    first, second = model.features[0], model.features[4]
    norms = first.weight.detach().square().sum((1, 2, 3)) + second.weight.detach().square().sum((0, 2, 3))
    kept = sorted(norms.argsort()[2:].tolist())
    expected = first.weight.detach()[kept]
    structured.prune(model, {}, request_for(state.architecture.inputs, 0.25))
    assert torch.equal(first.weight, expected)


def test_the_same_call_gives_the_same_result_and_another_seed_another(tiny_state, request_for):
    def pruned(seed):
        state = tiny_state()
        structured.prune(state.model, {}, request_for(state.architecture.inputs, 0.5, "random", seed=seed))
        return state.model.features[0].weight

    assert torch.equal(pruned(1), pruned(1))
    assert not torch.equal(pruned(1), pruned(2))


@pytest.mark.parametrize(
    ("about", "widths"),
    [
        ({}, [4, 6]),
        ({"exclude": ("features.4",)}, [4, 12]),
        ({"include": ("features.0",)}, [4, 12]),
        ({"include": ("features",), "exclude": ("*.0",)}, [8, 6]),
        ({"include": ("feat*.[04]",)}, [4, 6]),
    ],
)
def test_globs_select_layers(about, widths, tiny_state, request_for):
    state = tiny_state()
    request = request_for(state.architecture.inputs, 0.5, **about)
    before = structured.count(state.model, {}, request)["channels"]
    structured.prune(state.model, {}, request)
    assert [state.model.features[i].out_channels for i in (0, 4)] == widths
    assert structured.count(state.model, {}, request)["channels"] * 2 == before


def test_a_glob_that_matches_no_module_is_refused(tiny_state, request_for):
    state = tiny_state()
    with pytest.raises(ConfigError, match=r"'nothing\.\*'; the model consists of: features, classifier"):
        structured.prune(state.model, {}, request_for(state.architecture.inputs, include=("nothing.*",)))


@pytest.mark.parametrize("about", [{"include": ("classifier.0",)}, {"exclude": ("*",)}])
def test_globs_that_leave_nothing_are_refused(about, tiny_state, request_for):
    state = tiny_state()
    with pytest.raises(ConfigError, match="--include and --exclude"):
        structured.prune(state.model, {}, request_for(state.architecture.inputs, **about))


@pytest.mark.parametrize("criterion", WEIGHTS)
def test_masks_stay_on_what_is_left(criterion, tiny_state, request_for):
    state = tiny_state()
    model, masks = state.model, {}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                parameter[parameter == 0] = 1
                masks[name] = torch.rand(parameter.shape) < 0.6
                parameter.mul_(masks[name])
    for step in range(2):
        masks = structured.prune(model, masks, request_for(state.architecture.inputs, 0.4, criterion, seed=step)).masks
        assert all(torch.equal(mask, model.get_parameter(name) != 0) for name, mask in masks.items())
    assert set(masks) == {name for name, parameter in model.named_parameters() if parameter.ndim > 1}
    assert model.features[4].out_channels == 4


def test_a_model_of_linear_layers_loses_neurons(request_for):
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 10), nn.ReLU(), nn.Linear(10, 3))
    request = request_for(InputSpec(kind="images", size=4), 0.2)
    structured.prune(model, {}, request)
    assert structured.count(model, {}, request) == {"neurons": 8}
    assert model[3].weight.shape == (3, 8)


@pytest.fixture
def encoder(architecture_of):
    """BERT of four layers with four heads and 40 neurons each, and its inputs."""
    torch.manual_seed(0)
    architecture = architecture_of("bert")
    architecture.arguments["config"] |= {"num_hidden_layers": 4, "intermediate_size": 40}
    return architecture.build().eval(), architecture.inputs


def layers(model):
    return list(model.bert.encoder.layer)


def heads(model):
    return [layer.attention.self.num_attention_heads for layer in layers(model)]


def test_a_tenth_of_sixteen_heads_is_two(encoder, request_for):
    model, inputs = encoder
    request = request_for(inputs, 0.1, keeps=("*.pooler",))
    structured.prune(model, {}, request)
    assert sum(heads(model)) == 14
    assert structured.count(model, {}, request) == {"heads": 14, "neurons": 4 * 36}


@pytest.mark.parametrize("criterion", ["l2", "random"])
def test_every_layer_keeps_a_head_and_a_neuron_however_often_it_is_pruned(criterion, encoder, request_for):
    model, inputs = encoder
    found = find_removable(model, inputs, (0.7,))
    for step in range(8):
        structured.prune(model, {}, request_for(inputs, 0.7, criterion, seed=step, removable=found))
    assert heads(model) == [1, 1, 1, 1]
    assert all(layer.intermediate.dense.out_features == 1 for layer in layers(model))
    assert output_of(model, inputs.example(3)).shape == (3, 7)


def test_heads_are_ranked_over_all_layers_together(encoder, request_for):
    model, inputs = encoder
    weak = layers(model)[2]
    with torch.no_grad():
        for part in (weak.attention.self.query, weak.attention.self.key, weak.attention.self.value):
            part.weight.mul_(0.1)
    structured.prune(model, {}, request_for(inputs, 0.1))
    assert heads(model) == [4, 4, 2, 4]


def test_the_head_that_goes_is_the_one_with_the_smallest_weights(encoder, request_for):
    model, inputs = encoder
    layer = layers(model)[1]
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
    assert {layer.intermediate.dense.out_features for layer in layers(model)} == {20}


def test_weights_that_are_told_of_are_the_linear_ones_of_the_encoder(encoder, request_for):
    model, inputs = encoder
    names = structured.prunable(model, request_for(inputs, keeps=("*.pooler",)))
    assert len(names) == 4 * 6
    assert all(name.startswith("bert.encoder.layer.") for name in names)


def zero_chosen(model, request, dim):
    """Set the chosen units to zero: what computes them (`dim` 0: weights, biases, norms), or what reads them (1)."""
    groups = structured.groups_of(model, request)
    with torch.no_grad():
        for group, doomed in zip(groups, in_rounds(model, groups, request)[1], strict=True):
            for part in group.parts:
                if part.dim == dim:
                    hit = part.index[torch.isin(part.unit, torch.tensor(doomed, dtype=torch.long))]
                    tensors_of(model)[part.parameter].index_fill_(dim, hit, 0)
    return model


def batches(inputs):
    """A batch, and for text a second one that is padded."""
    example = inputs.example(2)
    yield example
    if inputs.kind == "text":
        mask = (torch.arange(inputs.length) < torch.tensor([[12], [5]])).long()
        yield {"input_ids": example["input_ids"] * mask, "attention_mask": mask}


def outputs(model, batch, attention):
    """Logits in double precision, so that rounding hides nothing."""
    model = copy.deepcopy(model).double().eval()
    if attention:
        model.set_attn_implementation(attention)
    with torch.no_grad():
        return output_of(model, batch if isinstance(batch, dict) else batch.double())


def widths(model, request):
    """Pruned, how many units each group keeps."""
    structured.prune(model, {}, request)
    return {group.name: group.units for group in structured.groups_of(model, replace(request, kinds=()))}


@pytest.fixture
def chain():
    """Four layers, of which the last is the output."""
    torch.manual_seed(0)
    parts = [nn.Conv2d(3, 20, 1), nn.ReLU(), nn.Conv2d(20, 10, 1), nn.Flatten(), nn.Linear(40, 30), nn.Linear(30, 4)]
    return nn.Sequential(*parts).eval()


TWO = InputSpec(kind="images", size=2)


@pytest.mark.parametrize(
    ("asked", "left"),
    [
        ({}, {"0": 14, "2": 7, "4": 21}),
        ({"layer_fractions": (("2", 0.5),)}, {"0": 14, "2": 5, "4": 21}),
        ({"layer_fractions": (("0", 0.0), ("[24]", 0.9))}, {"0": 20, "2": 1, "4": 3}),
        ({"floor": 0.8}, {"0": 16, "2": 8, "4": 24}),
        ({"floor": 0.75, "round_to": 8, "step": 9}, {"0": 16, "2": 8, "4": 24}),
        ({"kinds": ("neurons",)}, {"0": 20, "2": 10, "4": 21}),
        ({"kinds": ("channels", "neurons")}, {"0": 14, "2": 7, "4": 21}),
    ],
)
def test_layers_lose_what_was_asked_of_them(chain, asked, left, request_for):
    found = find_removable(chain, TWO)
    assert widths(chain, request_for(TWO, 0.3, removable=found, **asked)) == left


def test_a_floor_is_of_the_original_units(chain, request_for):
    request = request_for(TWO, 0.3, removable=find_removable(chain, TWO), floor=0.4)
    for _ in range(4):
        left = widths(chain, request)
    assert left == {"0": 8, "2": 4, "4": 12}


def test_kinds_that_a_model_has_not_are_refused_with_those_it_has(chain, request_for):
    with pytest.raises(ConfigError, match=r"none of --prune heads\. There are: neurons, channels"):
        structured.prune(chain, {}, request_for(TWO, 0.3, kinds=("heads",)))


def test_a_glob_of_a_fraction_that_no_module_matches_is_refused(chain, request_for):
    with pytest.raises(ConfigError, match="No module matches 'layer9'"):
        structured.prune(chain, {}, request_for(TWO, 0.3, layer_fractions=(("layer9", 0.5),)))
