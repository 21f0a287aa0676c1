"""Unstructured masks are those of torch.nn.utils.prune, shrink by the fraction asked for, and hold in training."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations
from torch.nn.utils import prune as torch_prune

from prunebench.errors import ConfigError
from prunebench.models.architecture import models
from prunebench.models.input_spec import InputSpec
from prunebench.pruning.granularity import read_pattern
from prunebench.pruning.methods import unstructured
from prunebench.pruning.multiplied import find_weights
from prunebench.pruning.registry import Request, criteria, needs
from prunebench.training.masking import Masking

WEIGHTS = [name for name in criteria.names() if (score := criteria.get(name).score) and not needs(score)]
"""Criteria that score single weights by themselves."""

ANY = InputSpec(kind="images", size=12)


def images(size):
    """What a model of linear layers reads, the first of them as wide as an image."""
    return InputSpec(kind="images", size=size)


@pytest.mark.parametrize("scope", ["global", "layerwise"])
def test_masks_equal_those_of_torch_over_several_iterations(scope, tiny_net, request_for):
    torch.manual_seed(0)
    ours, theirs = tiny_net(3), tiny_net(3)
    theirs.load_state_dict(ours.state_dict())
    layers = {name: m for name, m in theirs.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear))}
    masks = {}
    for step in range(4):
        masks = unstructured.prune(ours, masks, request_for(ANY, 0.37, "l1", scope=scope, seed=step)).masks
        if scope == "global":
            weights = [(layer, "weight") for layer in layers.values()]
            torch_prune.global_unstructured(weights, pruning_method=torch_prune.L1Unstructured, amount=0.37)
        else:
            for layer in layers.values():
                torch_prune.l1_unstructured(layer, "weight", amount=0.37)
        assert set(masks) == {f"{name}.weight" for name in layers}
        for name, layer in layers.items():
            assert torch.equal(masks[f"{name}.weight"], layer.weight_mask.bool())
            assert torch.equal(ours.get_parameter(f"{name}.weight"), layer.weight)


@settings(max_examples=20)
@given(
    fraction=st.floats(0.001, 0.999),
    iterations=st.integers(1, 8),
    scope=st.sampled_from(["global", "layerwise"]),
    criterion=st.sampled_from(WEIGHTS),
)
def test_the_share_left_is_exact_to_one_weight_per_iteration(fraction, iterations, scope, criterion):
    model = nn.Sequential(nn.Linear(17, 23), nn.Linear(23, 5))
    tensors = 2 if scope == "layerwise" else 1
    masks = {}
    for step in range(1, iterations + 1):
        request = Request(fraction, criteria.get(criterion).score, images(17), seed=step, scope=scope)
        before = masks
        masks = unstructured.prune(model, masks, request).masks
        left = unstructured.count(model, masks, request)["weights"]
        assert abs(left - (1 - fraction) ** step * 23 * (17 + 5)) <= step * tensors
        assert left == sum(int(mask.sum()) for mask in masks.values())
        assert not any((masks[name] & ~before[name]).any() for name in before)
        assert all(model.get_parameter(name)[~mask].eq(0).all() for name, mask in masks.items())


def test_of_equal_weights_exactly_as_many_go_as_asked(request_for):
    model = nn.Linear(10, 10)
    nn.init.ones_(model.weight)
    masks = unstructured.prune(model, {}, request_for(images(10), 0.3, "l1")).masks
    assert int(masks["weight"].sum()) == 70


def test_what_is_pruned_stays_pruned_even_where_all_else_scores_minus_infinity(request_for):
    model = nn.Linear(8, 8)
    with torch.no_grad():
        model.weight.copy_(torch.arange(64.0, 0, -1).view(8, 8))
    first = unstructured.prune(model, {}, request_for(images(8), 0.5, "l1")).masks
    lowest = Request(0.5, lambda weight: torch.full_like(weight, -torch.inf), images(8))
    second = unstructured.prune(model, first, lowest).masks["weight"]
    assert int(second.sum()) == 16
    assert not (second & ~first["weight"]).any()


def test_random_depends_on_the_seed_alone(tiny_state, request_for):
    def masks(seed, noise):
        model = tiny_state().model
        torch.manual_seed(noise)
        return unstructured.prune(model, {}, request_for(ANY, 0.5, "random", seed=seed)).masks

    first, again, other = masks(1, 0), masks(1, 99), masks(2, 0)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("name", models.names())
def test_targets_are_weights_of_conv_and_linear_layers_or_all_parameters(name, fresh, request_for):
    state = fresh(name, 64)
    model, inputs = state.model, state.architecture.inputs
    found = find_weights(model, inputs)
    request = request_for(inputs, weights=found)
    kinds = (nn.Conv2d, nn.Linear)
    weights = [f"{path}.weight" for path, module in model.named_modules() if isinstance(module, kinds)]
    assert unstructured.targets(model, request) == weights == unstructured.prunable(model, request)
    everything = unstructured.targets(model, request_for(inputs, targets="all", weights=found))
    assert sorted(everything) == sorted(key for key, _ in model.named_parameters())


def test_all_targets_are_ranked_together_with_biases_and_norms(tiny_state, request_for):
    model = tiny_state().model
    values = torch.cat([parameter.detach().flatten().abs() for parameter in model.parameters()])
    threshold = values.sort().values[round(0.4 * len(values))]
    masks = unstructured.prune(model, {}, request_for(ANY, 0.4, "l1", targets="all")).masks
    assert not masks["features.1.bias"].any()  # batch norm's biases start at zero
    assert masks["features.1.weight"].all()  # and its weights at one
    for name, parameter in tiny_state().model.named_parameters():
        away = parameter.abs() != threshold
        assert torch.equal(masks[name][away], (parameter.abs() > threshold)[away])


def test_globs_select_layers_and_leave_the_masks_of_others(tiny_state, request_for):
    model = tiny_state().model
    first = unstructured.prune(model, {}, request_for(ANY, 0.5, "l1", include=("classifier",))).masks
    assert set(first) == {"classifier.1.weight", "classifier.3.weight"}
    second = unstructured.prune(model, first, request_for(ANY, 0.5, "l1", exclude=("classifier.*",))).masks
    assert set(second) == set(unstructured.prunable(model, request_for(ANY)))
    assert all(torch.equal(second[name], first[name]) for name in first)
    with pytest.raises(ConfigError, match="--include and --exclude"):
        unstructured.targets(model, request_for(ANY, include=("features.2",)))
    with pytest.raises(ConfigError, match="'nothing'; the model consists of: features, classifier"):
        unstructured.targets(model, request_for(ANY, include=("nothing",)))


def test_tensors_that_a_scope_spares_are_noted_in_a_line(request_for):
    model = nn.Sequential(nn.Linear(60, 50), nn.Linear(50, 4), nn.Linear(4, 3))
    pruned = unstructured.prune(model, {}, request_for(images(60), 0.1, "l1", scope="erk"))
    assert pruned.notes == ("scope erk takes nothing of 1.weight, 2.weight",)


@pytest.mark.parametrize("scope", ["global", "layerwise"])
def test_tensors_from_which_nothing_goes_are_noted(scope, request_for):
    model = nn.Sequential(nn.Linear(20, 2), nn.Linear(2, 1))
    pruned = unstructured.prune(model, {}, request_for(images(20), 0.1, "l1", scope=scope))
    left = [int(pruned.masks[name].sum()) for name in ("0.weight", "1.weight")]
    assert sum(left) == (38 if scope == "global" else 36 + 2)
    note = "nothing was removed from 1.weight: too few weights for this fraction"
    assert pruned.notes == (() if scope == "global" else (note,))
    tiny = unstructured.prune(nn.Linear(2, 1), {}, request_for(images(2), 0.1, "l1", scope=scope))
    assert tiny.notes == ("nothing was removed from weight: too few weights for this fraction",)
    assert tiny.masks["weight"].all()


def shrunk():
    """A model whose last layer's weights are small beside those of the others, and all of them would go."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 30), nn.Linear(30, 20), nn.Linear(20, 10))
    with torch.no_grad():
        model[2].weight.mul_(1e-3)
    return model


@pytest.mark.parametrize("pattern", [None, "2x1"])
def test_where_layers_compete_each_keeps_a_share_of_what_all_keep(pattern, request_for):
    about = {"scope": "global", "pattern": None if pattern is None else read_pattern(pattern)}
    bare = unstructured.prune(shrunk(), {}, request_for(images(20), 0.75, "l1", **about))
    assert not bare.masks["2.weight"].any()
    assert bare.notes == ()
    model = shrunk()
    kept = unstructured.prune(model, {}, request_for(images(20), 0.75, "l1", **about, floor=0.4))
    assert int(kept.masks["2.weight"].sum()) == 20  # of 200, a quarter of which stays of all
    assert sum(int(mask.sum()) for mask in kept.masks.values()) == sum(int(mask.sum()) for mask in bare.masks.values())
    assert kept.notes == ("2.weight keeps 10 % of its weights by --floor 0.4: by their scores fewer would stay",)
    smallest = model[2].weight[model[2].weight != 0].abs().min()
    assert (shrunk()[2].weight.abs() > smallest).sum() == 19 or pattern is not None


def test_a_floor_takes_no_weight_that_a_norm_needs(request_for):
    torch.manual_seed(0)
    model = nn.Sequential(parametrizations.weight_norm(nn.Linear(8, 40)), nn.Linear(40, 20))
    with torch.no_grad():
        model[1].weight.mul_(1e-3)
    pruned = unstructured.prune(model, {}, request_for(images(8), 0.96, "l1", scope="global", floor=0.9))
    assert pruned.masks["0.parametrizations.weight.original1"].any(1).all()
    assert pruned.masks["1.weight"].any()
    assert any("weights fewer than asked were removed" in note for note in pruned.notes)


@given(floor=st.floats(0.0, 0.99), fraction=st.floats(0.01, 0.99), seed=st.integers(0, 9))
def test_a_floor_changes_nothing_where_all_layers_keep_more(request_for, floor, fraction, seed):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(20, 30), nn.Linear(30, 20), nn.Linear(20, 10))
    bare, kept = (
        unstructured.prune(
            copy.deepcopy(model), {}, request_for(images(20), fraction, "l1", scope="global", floor=least)
        )
        for least in (0.0, floor)
    )
    of_all = sum(int(mask.sum()) for mask in kept.masks.values()) / 1400
    assert sum(int(mask.sum()) for mask in bare.masks.values()) / 1400 == of_all
    above = all(int(mask.sum()) >= int(floor * of_all * mask.numel()) for mask in bare.masks.values())
    assert all(int(mask.sum()) >= int(floor * of_all * mask.numel()) for mask in kept.masks.values())
    assert all(torch.equal(kept.masks[name], bare.masks[name]) for name in bare.masks) == above == (not kept.notes)


def test_a_model_without_a_conv_or_linear_layer_is_refused(request_for):
    with pytest.raises(ConfigError, match="nothing to prune"):
        unstructured.prune(nn.Sequential(nn.BatchNorm2d(3), nn.Flatten()), {}, request_for(ANY))


@pytest.mark.parametrize(
    ("criterion", "message"),
    [
        (lambda weight: weight.sum(), "shape"),
        (lambda weight: "heavy", "shape"),
        (lambda weight: weight / 0 * 0, "NaN"),
    ],
)
def test_a_criterion_that_does_not_score_every_weight_is_refused(criterion, message):
    with pytest.raises(ConfigError, match=message):
        unstructured.prune(nn.Linear(3, 3), {}, Request(0.5, criterion, images(3)))


def test_a_criterion_gets_what_it_asks_for(tiny_task, tiny_state):
    seen = []

    def criterion(weight, name, model, task, generator):
        seen.append(name)
        assert torch.equal(model.get_parameter(name), weight)
        assert task is tiny_task
        return torch.rand(weight.shape, generator=generator)

    model = tiny_state().model
    request = Request(0.5, criterion, ANY, task=tiny_task)
    unstructured.prune(model, {}, request)
    assert seen == unstructured.prunable(model, request)


NORMS = {
    "weight norm": parametrizations.weight_norm,
    "spectral norm": parametrizations.spectral_norm,
    "old weight norm": nn.utils.weight_norm,
    "old spectral norm": nn.utils.spectral_norm,
}


def normed(norm):
    """Two layers, the first of which has a weight that is computed."""
    torch.manual_seed(0)
    return nn.Sequential(norm(nn.Linear(12, 7)), nn.ReLU(), nn.Linear(7, 3))


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm`:FutureWarning")
@pytest.mark.parametrize("norm", NORMS.values(), ids=NORMS)
def test_where_a_source_is_masked_the_weight_itself_is_zero_and_stays_so_in_training(norm, request_for):
    model = normed(norm)
    masks = unstructured.prune(model, {}, request_for(ANY, 0.6, "l1")).masks
    (source, mask) = next((name, mask) for name, mask in masks.items() if mask.shape == (7, 12))
    assert sum(int(mask.sum()) for mask in masks.values()) == round(0.4 * (12 * 7 + 7 * 3))
    optimizer = torch.optim.AdamW(model.parameters(), 0.05)
    masking = Masking(model, masks, optimizer, always=False)
    for _ in range(4):
        model(torch.randn(5, 12)).square().sum().backward()
        masking.before_step()
        optimizer.step()
        optimizer.zero_grad()
        model(torch.randn(5, 12))
        assert torch.equal(model[0].weight == 0, ~mask)
        assert torch.equal(model.get_parameter(source) == 0, ~mask)


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm`:FutureWarning")
@pytest.mark.parametrize("norm", NORMS.values(), ids=NORMS)
def test_of_a_normed_weight_so_much_stays_that_it_is_finite_and_that_is_told(norm, request_for):
    model, masks = normed(norm), {}
    for step in range(5):
        pruned = unstructured.prune(model, masks, request_for(ANY, 0.7, "l1", scope="layerwise", seed=step))
        masks = pruned.masks
        assert model(torch.randn(5, 12)).isfinite().all()
    left = next(mask for mask in masks.values() if mask.shape == (7, 12)).sum(1)
    if "weight norm" in {name for name, found in NORMS.items() if found is norm}.pop():
        assert left.tolist() == [1] * 7
        assert pruned.notes[0] == "5 weights fewer than asked were removed: of what is normed, each slice keeps one"
    else:
        assert int(left.sum()) >= 1
    assert all(model.get_parameter(name)[~mask].eq(0).all() for name, mask in masks.items())


def test_of_each_slice_that_is_normed_the_best_stays(request_for):
    model = nn.Sequential(parametrizations.weight_norm(nn.Linear(12, 7)))
    best = model[0].parametrizations.weight.original1.abs().argmax(1)
    mask = unstructured.prune(model, {}, request_for(ANY, 0.99, "l1")).masks["0.parametrizations.weight.original1"]
    assert mask.nonzero()[:, 1].tolist() == best.tolist()
    infinite = Request(0.99, lambda weight: torch.full_like(weight, torch.inf), ANY)
    assert unstructured.prune(model, {}, infinite).masks["0.parametrizations.weight.original1"].any(1).all()


def test_what_is_not_zero_where_its_source_is_is_never_pruned(request_for):
    model = normed(parametrizations.orthogonal)
    assert unstructured.targets(model, request_for(ANY)) == ["2.weight"]
    everything = unstructured.targets(model, request_for(ANY, targets="all"))
    assert everything == ["0.bias", "2.weight", "2.bias"]
    with pytest.raises(ConfigError, match=r"counts as weight \(0: a weight is computed of it"):
        unstructured.targets(model[:1], request_for(ANY))


class Tables(nn.Module):
    """Looks rows up, and multiplies them with a parameter of its own and with a layer."""

    def __init__(self):
        super().__init__()
        self.words, self.places = nn.Embedding(4, 6), nn.Embedding(12, 6)
        self.mix, self.fc = nn.Parameter(torch.randn(6, 6)), nn.Linear(6, 3)

    def forward(self, images):
        ids = (images[:, 0] > 0).long()[..., 0]
        found = self.words(ids) + self.places(torch.arange(ids.shape[1]))
        return self.fc(F.linear(found, self.mix).mean(1))


@pytest.mark.parametrize(
    ("about", "names"),
    [
        ({}, ["mix", "fc.weight"]),
        ({"targets": "all"}, ["mix", "words.weight", "places.weight", "fc.weight", "fc.bias"]),
        ({"include": ("words",)}, ["words.weight"]),
        ({"include": ("fc", "words")}, ["words.weight", "fc.weight"]),
        ({"include": ("w*", "p*")}, ["words.weight", "places.weight"]),
        ({"include": ("*",)}, ["mix", "fc.weight"]),
        ({"include": ("mix",)}, ["mix"]),
        ({"exclude": ("mix",)}, ["fc.weight"]),
        ({"exclude": ("fc",)}, ["mix"]),
    ],
)
def test_look_up_tables_go_where_they_are_named_and_parameters_by_their_own_names(about, names, request_for):
    assert unstructured.targets(Tables(), request_for(ANY, **about)) == names


def test_a_parameter_that_is_named_like_no_other_is_told(request_for):
    with pytest.raises(ConfigError, match="No module matches 'mixed'"):
        unstructured.targets(Tables(), request_for(ANY, include=("mixed",)))


def test_ranked_together_are_weights_of_every_kind(request_for):
    model = nn.ModuleDict({"rows": nn.LSTM(12, 5, batch_first=True)})
    model.forward = lambda images: model["rows"](images.mean(1))[0][:, -1]
    values = torch.cat([p.detach().abs().flatten() for p in model.parameters() if p.ndim > 1])
    threshold = values.sort().values[round(0.4 * len(values))]
    masks = unstructured.prune(model, {}, request_for(ANY, 0.4, "l1")).masks
    assert set(masks) == {"rows.weight_ih_l0", "rows.weight_hh_l0"}
    for name, mask in masks.items():
        assert torch.equal(mask, model.get_parameter(name).abs() >= threshold)
