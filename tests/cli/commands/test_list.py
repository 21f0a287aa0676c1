"""`list` names every entry of every registry with a line each."""

from __future__ import annotations

from prunebench.data.dataset import datasets
from prunebench.latency.backends import backends
from prunebench.models.architecture import models
from prunebench.pruning.registry import criteria, methods


def removing():
    return [name for name in methods.names() if methods.get(name).removes]


def test_every_entry_has_a_line(prunebench):
    finished = prunebench("list")
    assert finished.status == 0
    lines = [line.split() for line in finished.out.splitlines() if line.startswith("  ")]
    for registry in (models, datasets, backends, methods):
        for name in registry.names():
            (line,) = [words for words in lines if words[0] == name]
            assert len(words := line[1:]) > 2, words
    assert sum(words[0] == "×" for words in lines) == len(removing()) * len(criteria.names())


def test_each_method_has_one_default_criterion(prunebench):
    marked = [line.split()[1] for line in prunebench("list").out.splitlines() if "(default)" in line]
    assert marked == [methods.get(name).criterion for name in removing()]
