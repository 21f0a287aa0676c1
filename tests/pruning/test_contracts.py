"""Every registered criterion prunes by every method, a function of the model, the data and the seed, or is refused."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch

from prunebench.errors import ConfigError
from prunebench.pruning.granularity import read_pattern
from prunebench.pruning.matrices import matrices
from prunebench.pruning.registry import Request, criteria, methods
from prunebench.pruning.scopes import ranked
from prunebench.pruning.shares import scopes
from prunebench.pruning.units.removable import find_removable

SINGLE = [name for name in criteria.names() if methods.get("unstructured").fitting(criteria.get(name))]
SCOPES = [scope for scope in scopes.names() if scopes.get(scope).masks]
SCOPED = list(itertools.product(SCOPES, SINGLE))
PATTERNS = ("2:4", "2x2", "row")
POOLED = [
    (scope, name)
    for scope in scopes.names()
    for name in criteria.names()
    if scopes.get(scope).pool and methods.get("structured").fitting(criteria.get(name))
]
PAIRS = [(method, name) for method in methods.names() for name in criteria.names()]
WITHOUT_NORM = ("classifier.1",)
SAMPLES = 20


@pytest.fixture(scope="module")
def trained(tiny_net, residual):
    """Models that have somewhat uneven norms, in which one run is like another."""
    found = {}
    for name, build in (("plain", tiny_net), ("residual", residual.net)):
        torch.manual_seed(0)
        found[name] = build(3)
        found[name](torch.zeros(2, 3, 12, 12))
        for parameter in found[name].parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
    return found


@pytest.fixture(scope="module")
def looking(tiny_task, tiny_finetuning):
    """What criteria look at."""
    return {"task": tiny_task, "finetune": tiny_finetuning, "calibration": SAMPLES}


@pytest.mark.parametrize(("method", "name"), PAIRS)
def test_each_pair_removes_what_is_asked_the_same_whenever_it_is_asked(method, name, trained, looking, images12):
    method = methods.get(method)
    if method.fitting(criteria.get(name)) is None:
        with pytest.raises(ConfigError, match=r"^--criterion .*\Z"):
            method.ranking(criteria.get(name))
        return
    spared = WITHOUT_NORM if method.narrows else ()
    about = {"seed": 1, "exclude": spared, "rounds": min(10, criteria.get(name).rounds), **looking}
    about |= {"scope": criteria.get(name).scope} if method.masks else {}
    request = Request(0.3, method.ranking(criteria.get(name)), images12, **about)
    before = trained["residual" if method.shortens else "plain"]
    outcomes = []
    for grad in (True, False):
        model = copy.deepcopy(before).train(grad)
        with torch.set_grad_enabled(grad):
            pruned = method.prune(model, {}, request)
        outcomes.append((model, pruned, method.count(model, pruned.masks, request)))
    (model, pruned, left), (other, again, _) = outcomes
    assert all(torch.equal(value, other.state_dict()[key]) for key, value in model.state_dict().items())
    assert all(torch.equal(mask, again.masks[key]) for key, mask in pruned.masks.items())
    had = method.count(before, {}, request)
    if method.removes:
        assert 0.5 < sum(left.values()) / sum(had.values()) < 0.85
        assert torch.isfinite(model.eval()(torch.zeros(2, 3, 12, 12))).all()
    else:
        assert left == had


@pytest.mark.parametrize(("pattern", "name"), list(itertools.product(PATTERNS, SINGLE)))
def test_every_pattern_takes_of_every_criterion_what_is_asked(pattern, name, trained, looking, images12):
    method, criterion = methods.get("unstructured"), criteria.get(name)
    about = looking | {"pattern": read_pattern(pattern), "gone": 0.5}
    about |= {"scope": "layerwise"} if scopes.get(criterion.scope).in_rows else {}
    model = copy.deepcopy(trained["plain"])
    request = Request(0.5, method.ranking(criterion), images12, **about)
    if criterion.solve is not None and request.pattern.blocks is not None:
        with pytest.raises(ConfigError, match=r"^The criterion solves .*--pattern .*\Z"):
            method.prune(model, {}, request)
        return
    pruned = method.prune(model, {}, request)
    spared = {"0.weight"} if pattern == "2:4" else set()  # three channels are no multiple of four
    assert [name for name in pruned.masks if name in spared] == []
    assert bool(pruned.notes) == bool(spared)
    blocks = {name: matrix for name, matrix in matrices(model, images12).items() if name in pruned.masks}
    for weight, matrix in blocks.items():
        stay = pruned.masks[weight].flatten()[matrix.index]
        if pattern == "2:4":
            assert (stay.reshape(-1, 4).sum(1) == 2).all()
        elif pattern == "row":
            assert (stay == stay[:, :1]).all()
        else:
            numbers = read_pattern(pattern).blocks(*stay.shape, matrix.inputs)
            for number in numbers.unique():
                assert stay[numbers == number].unique().numel() == 1
    left = sum(int(mask.sum()) for mask in pruned.masks.values())
    assert left / sum(mask.numel() for mask in pruned.masks.values()) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(("scope", "name"), SCOPED)
def test_every_scope_takes_of_every_criterion_what_is_asked_step_by_step(scope, name, trained, looking, images12):
    about = {"scope": scope, "rounds": min(10, criteria.get(name).rounds), **looking}
    model, masks, method = copy.deepcopy(trained["plain"]), {}, methods.get("unstructured")
    left = 864 + 216 + 768 + 48
    if criteria.get(name).solve is not None and scope in {"global", "row"}:
        with pytest.raises(ConfigError, match=r"^The criterion solves .*--scope .*\Z"):
            method.prune(model, {}, Request(0.4, method.ranking(criteria.get(name)), images12, **about))
        return
    for step in range(3):
        request = Request(0.4, method.ranking(criteria.get(name)), images12, seed=step, **about)
        left -= round(0.4 * left)
        masks = method.prune(model, masks, request).masks
        found = sum(int(mask.sum()) for mask in masks.values())
        assert abs(found - left) <= (4 * (step + 1) if scope in {"layerwise", "row"} else 0)
        assert all(model.get_parameter(key)[~mask].eq(0).all() for key, mask in masks.items())


@pytest.mark.parametrize("scope", SCOPES)
def test_every_scope_comes_to_a_target_exactly(scope, trained, looking, images12):
    model, masks, method = copy.deepcopy(trained["plain"]), {}, methods.get("unstructured")
    for step, gone in enumerate((0.3, 0.6, 0.8)):
        request = Request(0.1, criteria.get("l1").score, images12, seed=step, scope=scope, gone=gone, **looking)
        masks = method.prune(model, masks, request).masks
        found = sum(int((~mask).sum()) for mask in masks.values())
        assert abs(found - gone * 1896) <= (2 if scope in {"layerwise", "row"} else 0.5)


@pytest.fixture(scope="module")
def of_units(trained, looking, images12):
    """What a request of units asks beside the criterion and the scope."""
    found = find_removable(trained["plain"], images12)
    return {**looking, "removable": found, "exclude": WITHOUT_NORM}


@pytest.mark.parametrize(("scope", "name"), POOLED)
def test_every_scope_of_units_takes_of_every_criterion_what_is_asked(scope, name, trained, images12, of_units):
    method, usual = methods.get("structured"), "mean" if scopes.get(scope).compares else "none"
    about = {"scope": scope, "group_normalisation": usual, **of_units}
    request = Request(0.3, method.ranking(criteria.get(name)), images12, **about)
    models = [copy.deepcopy(trained["plain"]) for _ in range(2)]
    together, each = 20, [8, 12]
    for _ in range(2):
        assert method.prune(models[0], {}, request).notes == method.prune(models[1], {}, request).notes
        together, each = together - round(0.3 * together), [units - round(0.3 * units) for units in each]
    left = method.count(models[0], {}, request)["channels"]
    assert left == (together if scopes.get(scope).pool is ranked.together else sum(each))
    assert all(torch.equal(a, b) for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True))
    assert torch.isfinite(models[0](torch.zeros(2, 3, 12, 12))).all()
