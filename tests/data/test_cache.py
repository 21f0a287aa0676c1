"""What was read once is kept, as far as there is room, and is what would be read anew."""

from __future__ import annotations

import re

import pytest
import torch

from prunebench.data import cache
from prunebench.data.cache import Cache, cached
from prunebench.errors import ConfigError


class Numbered:
    """Images whose values are drawn by their number; remembers which were read."""

    costs = True

    def __init__(self, count=20, shape=(3, 4, 4)):
        self.shape, self._count = shape, count
        self._images = torch.randint(0, 256, (count, *shape), generator=torch.Generator().manual_seed(0)).byte()
        self.read_so_far = []

    def __len__(self):
        return self._count

    def read(self, chunks):
        for chunk in chunks:
            self.read_so_far += chunk.tolist()
            yield self._images[chunk]


def free(monkeypatch, *values):
    """Memory is free as it is said, call by call; the last value stays."""
    left = list(values)
    monkeypatch.setattr(cache, "free_bytes", lambda device: left.pop(0) if len(left) > 1 else left[0])


PASSES = (
    [torch.arange(6), torch.tensor([9, 2, 15])],
    [torch.tensor([15, 3, 19]), torch.tensor([2, 0])],
    [torch.randperm(20, generator=torch.Generator().manual_seed(1))],
    [torch.arange(20)],
)


@pytest.mark.parametrize("spares", [False, True])
@pytest.mark.parametrize("memory", [(0,), (10**9,), (10**9, 10**9, 0)])
def test_images_are_those_of_the_source_whatever_is_kept(spares, memory, monkeypatch):
    free(monkeypatch, *memory)
    source, kept = Numbered(), Cache(Numbered(), spares=spares)
    for chunks in PASSES:
        assert all(map(torch.equal, source.read(chunks), kept.read(chunks)))


def test_an_image_is_read_once():
    source = Numbered()
    kept = Cache(source, spares=False)
    for chunks in PASSES[1:]:
        list(kept.read(chunks))
    assert sorted(source.read_so_far) == list(range(20))


def test_a_pass_that_is_given_up_keeps_what_it_has_seen():
    source = Numbered()
    kept = Cache(source, spares=False)
    next(kept.read([torch.arange(3), torch.arange(3, 6)]))
    list(kept.read([torch.arange(6)]))
    assert source.read_so_far == [0, 1, 2, 3, 4, 5]


def test_no_more_is_kept_once_others_have_taken_the_memory(monkeypatch):
    free(monkeypatch, 10**9, 0)
    source = Numbered()
    kept = Cache(source, spares=True)
    for _ in range(2):
        list(kept.read([torch.arange(10), torch.arange(10, 20)]))
    assert source.read_so_far == [*range(20), *range(10, 20)]


@pytest.mark.parametrize(("memory", "keeps"), [(4 * 960, True), (4 * 960 - 1, False), (None, False)])
def test_by_default_a_quarter_of_what_is_free_is_taken_at_most(memory, keeps, monkeypatch):
    free(monkeypatch, memory)
    sources, told = cached({"train": Numbered(12), "test": Numbered(8)}, "auto")
    assert [isinstance(source, Cache) for source in sources.values()] == [keeps, keeps]
    assert told == ("20 images are kept in memory once they are read, 1 MB (--cache)" if keeps else "")


def test_what_is_asked_for_and_does_not_fit_is_refused(monkeypatch):
    free(monkeypatch, 960)
    assert cached({"train": Numbered()}, "on")[1]
    free(monkeypatch, 959)
    with pytest.raises(ConfigError, match=re.escape("--cache on: 20 images take 1 MB as the model reads them, and")):
        cached({"train": Numbered()}, "on")


def test_what_costs_nothing_to_read_is_not_kept_twice():
    source = Numbered()
    source.costs = False
    assert cached({"train": source}, "on") == ({"train": source}, "")
