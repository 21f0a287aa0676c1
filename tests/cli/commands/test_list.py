"""`list` names every entry of every registry with a line each."""

from __future__ import annotations

from prunebench.data.dataset import datasets
from prunebench.latency.backends import backends
from prunebench.models.architecture import models
from prunebench.pruning.registry import criteria, methods
from prunebench.pruning.shares import scopes
from prunebench.training.policies import policies


def removing():
    return [name for name in methods.names() if methods.get(name).removes]


def ranks(method, name):
    return method.fitting(criteria.get(name)) is not None


def test_every_entry_has_a_line(prunebench):
    finished = prunebench("list")
    assert finished.status == 0
    parts = {part.split()[0]: part for part in finished.out.split("\n\n")}
    of = {"models": models, "datasets": datasets, "backends": backends, "methods": methods, "scopes": scopes}
    for title, registry in {**of, "ways": policies}.items():
        lines = [line.split() for line in parts[title].splitlines()[1:]]
        for name in registry.names():
            (line,) = [words for words in lines if words[0] == name]
            assert len(words := line[1:]) > 2, words
    lines = [line.split() for line in parts["methods"].splitlines()]
    ranked = [
        (method, name) for method in map(methods.get, removing()) for name in criteria.names() if ranks(method, name)
    ]
    assert sum(words[0] == "×" for words in lines) == len(ranked)


def test_what_a_criterion_asks_for_its_paper_and_its_aliases_are_told(prunebench):
    out = prunebench("list").out
    assert out.count("(Σ w·g)² (Molchanov et al. 2019); asks data for: gradient\n") == 2
    assert "asks data for: squared_gradient" in out
    assert "  slim              criterion bn-scale\n" in out
    assert "  uniform           scope layerwise\n" in out
    assert "(Evci et al. 2020)" in out


def test_each_method_has_one_default_criterion(prunebench):
    marked = [line.split()[1] for line in prunebench("list").out.splitlines() if "(default)" in line]
    assert marked == [methods.get(name).criterion for name in removing()]


def test_names_of_libraries_are_searched_one_a_line(prunebench):
    found = prunebench("list", "--models", "torchvision:resnet*")
    assert (found.status, found.err) == (0, "")
    names = [f"torchvision:resnet{depth}" for depth in (101, 152, 18, 34, 50)]
    assert found.out.splitlines() == names
    assert "timm:vit_tiny_patch16_224" in prunebench("list", "--models", "timm:vit_tiny*").out.splitlines()
    assert "timm:resnet18.a1_in1k" in prunebench("list", "--models", "timm:resnet18.*").out.splitlines()
    assert {"resnet18", "torchvision:resnet18", "timm:resnet18"} <= set(
        prunebench("list", "--models", "resnet1*").out.splitlines()
    )


def test_a_library_without_a_list_and_a_pattern_without_a_model_are_told(prunebench):
    for pattern, told in (
        ("torchvision:xyz*", "no model fits"),
        ("xyz*", "no model fits"),
        ("abc:*", "abc has no list"),
    ):
        found = prunebench("list", "--models", pattern)
        assert (found.status, found.out) == (2, "")
        assert told in found.err
        assert len(found.err.splitlines()) == 1


def test_without_a_pattern_it_says_how_to_search(prunebench):
    out = prunebench("list").out
    assert "  timm:NAME " in out
    assert "  torchvision:NAME " in out
    assert "prunebench list --models 'timm:*' or 'torchvision:*'" in out
