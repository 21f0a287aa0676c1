import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from prunebench.errors import ConfigError
from prunebench.models.architecture import models
from prunebench.models.input_spec import InputSpec
from prunebench.pruning.evidence import OF_WEIGHTS
from prunebench.pruning.registry import Request, criteria, methods
from prunebench.registry import call
from prunebench.seeding import generator

IMAGES = InputSpec(kind="images", size=8)
PATHS = st.lists(st.sampled_from(["features", "layer1", "0", "conv"]), min_size=1, max_size=3).map(".".join)


def request(criterion=None, **about):
    return Request(0.1, criterion or criteria.get("l1").score, IMAGES, **about)


@given(PATHS)
def test_without_patterns_every_module_is_selected(path):
    assert request().selects(path)
    assert request(include=("*",)).selects(path)
    assert not request(exclude=("*",)).selects(path)


@given(PATHS, PATHS)
def test_a_pattern_that_matches_a_module_matches_all_inside_it(path, inside):
    assert request(include=(path,)).selects(f"{path}.{inside}")
    assert not request(exclude=(path,)).selects(f"{path}.{inside}")


@given(PATHS)
def test_excluding_wins_over_including(path):
    assert not request(include=(path,), exclude=(path,)).selects(path)


@pytest.mark.parametrize(
    ("pattern", "module", "matches"),
    [
        ("classifier.*", "classifier.6", True),
        ("classifier.*", "classifier", False),
        ("classifier", "classifier.6", True),
        ("layer?.0", "layer3.0.conv1", True),
        ("layer1", "layer10.0", False),
        ("Layer1", "layer1", False),
    ],
)
def test_patterns_are_globs_on_whole_names(pattern, module, matches):
    assert request(include=(pattern,)).selects(module) == matches


@pytest.mark.parametrize("name", [name for name in criteria.names() if criteria.get(name).score])
def test_every_criterion_of_weights_scores_each_weight_and_leaves_the_model_alone(name):
    model = nn.Conv2d(3, 4, 3)
    before = model.weight.detach().clone()
    evidence = {kind: {"weight": torch.rand(4, 3, 3, 3)} for kind in OF_WEIGHTS}
    scores = request(criteria.get(name).score, evidence=evidence).score(model, "weight", generator(0, "test"))
    again = request(criteria.get(name).score, evidence=evidence).score(model, "weight", generator(0, "test"))
    assert scores.shape == model.weight.shape
    assert torch.isfinite(scores).all()
    assert not scores.requires_grad
    assert torch.equal(scores, again)
    assert torch.equal(model.weight, before)


@pytest.mark.parametrize("name", criteria.names())
def test_every_criterion_of_blocks_scores_one_with_a_number(name):
    score = criteria.get(name).block
    if score is None:
        assert criteria.get(name).score or criteria.get(name).unit or criteria.get(name).solve
        return
    offered = {"block": nn.Linear(2, 2), "name": "a", "influence": 0.25, "generator": generator(0, "test")}
    assert 0 <= call(score, offered) <= 1


@pytest.mark.parametrize("method", methods.names())
@pytest.mark.parametrize("name", criteria.names())
def test_a_criterion_that_does_not_score_what_a_method_removes_is_refused_with_those_that_do(method, name):
    method, criterion = methods.get(method), criteria.get(name)
    fit = criterion.block if method.shortens else criterion.score
    fit = criterion.unit or fit if method.narrows else fit
    fit = fit or criterion.solve if not method.lowers_macs else fit
    if fit is not None:
        assert method.ranking(criterion) is fit
        return
    with pytest.raises(ConfigError, match=f"--criterion {name} scores .*; give .*random.*, or your own") as refused:
        method.ranking(criterion)
    assert name not in str(refused.value).partition(";")[2]


@pytest.mark.parametrize("name", methods.names())
def test_every_method_has_a_criterion_and_counts_what_it_says(name, residual):
    method = methods.get(name)
    assert method.criterion in criteria.names()
    model = residual.model_of(residual.Residual(), residual.Residual())
    model(IMAGES.example(2))
    counted = method.count(model, {}, request())
    assert method.units["images"] in counted
    assert all(count > 0 for count in counted.values())


@pytest.mark.parametrize("name", methods.names())
def test_every_method_names_its_units_for_whatever_a_model_reads(name):
    assert set(methods.get(name).units) == {entry.reads for entry in map(models.get, models.names())} | {None}


@pytest.mark.parametrize("about", [{"include": ("features", "clasifier.*")}, {"exclude": ("clasifier.*",)}])
def test_a_pattern_that_matches_no_module_is_named_with_the_parts_of_the_model(about, tiny_net):
    with pytest.raises(ConfigError, match=r"'clasifier\.\*'; the model consists of: features, classifier\.$"):
        request(**about).check_patterns(tiny_net(3))
    request(include=("features", "*.1"), exclude=("classifier.?",)).check_patterns(tiny_net(3))


def test_a_criterion_may_ask_for_all_there_is():
    seen = {}

    def score(weight, name, model, task, generator):
        seen.update(name=name, model=model, task=task, generator=generator)
        return weight

    model, draw, task = nn.Linear(2, 2), generator(0, "test"), object()
    request(score, task=task).score(model, "weight", draw)
    assert seen == {"name": "weight", "model": model, "task": task, "generator": draw}


def test_what_a_criterion_does_in_place_changes_neither_the_model_nor_its_evidence():
    def score(weight, gradient):
        return weight.mul_(gradient.neg_())

    model, gradient = nn.Linear(2, 2), torch.full((2, 2), 3.0)
    before, asked = model.weight.detach().clone(), request(score, evidence={"gradient": {"weight": gradient}})
    torch.testing.assert_close(asked.score(model, "weight", generator(0, "test")), -3 * before)
    torch.testing.assert_close((model.weight.detach(), gradient), (before, torch.full((2, 2), 3.0)), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (lambda weight: weight.sum(), r"scored weight as \(\); it must return shape \(2, 3\)\."),
        (lambda weight: weight.T, r"scored weight as \(3, 2\)"),
        (lambda weight: 1.0, "scored weight as float"),
        (lambda weight: weight * torch.nan, "scored weight with NaN, which cannot be ranked"),
        (lambda slope: slope, "asks for an argument 'slope'; it can have: weight, gradient, squared_gradient"),
    ],
)
def test_a_criterion_that_cannot_be_ranked_is_refused(score, message):
    with pytest.raises(ConfigError, match=message):
        request(score).score(nn.Linear(3, 2), "weight", generator(0, "test"))
