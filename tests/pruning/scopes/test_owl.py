"""OWL: the more outliers a layer has, the more it keeps, within bounds about what is asked for."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prunebench.errors import ConfigError
from prunebench.pruning.methods import unstructured
from prunebench.pruning.registry import criteria
from prunebench.pruning.scopes.owl import outliers, owl
from prunebench.pruning.shares import needs_of


def published(ratios, sparsity, lam):
    """Of layers of one size, the density of each as the paper's own code has it."""
    scaled = (ratios - ratios.min()) * (1 / (ratios.max() - ratios.min()) * lam * 2)
    return scaled - scaled.mean() + (1 - sparsity)


def layers(counts, size=200):
    """Weights of ones, of which so many are outliers."""
    return {str(i): torch.cat([torch.full((n,), 50.0), torch.ones(size - n)]) for i, n in enumerate(counts)}


def gone(weights, going, masks=None, norms=None):
    masks = masks or {name: torch.ones(weight.shape, dtype=torch.bool) for name, weight in weights.items()}
    left = {name: int(mask.sum()) for name, mask in masks.items()}
    return owl(left, going, weights, masks=masks, input_norms=norms or {n: torch.ones(()) for n in weights})


@pytest.mark.parametrize("counts", [(0, 5, 10), (3, 0, 1, 2), (7, 7, 1)])
def test_layers_of_one_size_keep_what_the_published_code_says(counts):
    weights = layers(counts)
    ratios = torch.tensor([outliers(weight) for weight in weights.values()])
    assert ratios.tolist() == pytest.approx([n / 200 for n in counts])
    found = gone(weights, 120 * len(counts))
    assert sum(found.values()) == 120 * len(counts)
    for count, density in zip(found.values(), published(ratios, 0.6, 0.08), strict=True):
        assert 1 - count / 200 == pytest.approx(float(density), abs=1 / 200)
        assert abs(count / 200 - 0.6) <= 2 * 0.08


def test_layers_without_a_difference_lose_the_same_share():
    assert set(gone(layers((2, 2, 2)), 300).values()) == {100}


def test_outliers_are_told_by_what_weights_are_multiplied_with():
    weights = {"a": torch.ones(2, 100), "b": torch.ones(2, 100)}
    norms = {"a": torch.ones(2, 100), "b": torch.ones(2, 100)}
    norms["b"][:, 0] = 100
    found = gone(weights, 200, norms=norms)
    assert found["a"] - found["b"] == 2 * 16  # 2λ of 200 weights


def test_a_layer_of_which_nothing_is_known_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"What rnn\.weight is multiplied with cannot be told.*another scope"):
        owl({"rnn.weight": 4}, 2, {"rnn.weight": torch.ones(4)}, {"rnn.weight": torch.ones(4) > 0}, {})


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=4), st.data())
def test_what_goes_sums_up_exactly_and_no_layer_loses_what_it_has_not(sizes, data):
    torch.manual_seed(0)
    weights = {str(i): torch.randn(size).exp() for i, size in enumerate(sizes)}
    masks = {name: torch.rand(weight.shape) < 0.7 for name, weight in weights.items()}
    left = {name: int(mask.sum()) for name, mask in masks.items()}
    going = data.draw(st.integers(0, sum(left.values())))
    found = gone(weights, going, masks)
    assert sum(found.values()) == going
    assert all(0 <= found[name] <= left[name] for name in weights)


def test_what_it_asks_for_is_gathered_also_for_a_criterion_that_asks_for_nothing(
    tiny_net, tiny_task, images12, request_for
):
    assert needs_of(criteria.get("l1").score, "owl") == ("input_norm",)
    assert needs_of(criteria.get("taylor").score, "owl") == ("gradient", "input_norm")
    assert needs_of(criteria.get("l1").score, "erk") == ()
    torch.manual_seed(0)
    request = request_for(images12, 0.6, "l1", scope="owl", task=tiny_task, calibration=20)
    masks = unstructured.prune(tiny_net(3), {}, request).masks
    assert sum(int((~mask).sum()) for mask in masks.values()) == round(0.6 * 1896)
    assert len({round(float(mask.float().mean()), 2) for mask in masks.values()}) > 1
    with pytest.raises(ConfigError, match="takes training data"):
        unstructured.prune(tiny_net(3), {}, request_for(images12, 0.6, "l1", scope="owl"))
