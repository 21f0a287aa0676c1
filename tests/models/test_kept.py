"""Which units are left adds up over removals, and comes back from a file."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prunebench.errors import RunError
from prunebench.models import kept


@given(st.lists(st.booleans(), min_size=1, max_size=20), st.data())
def test_what_is_left_of_what_was_left_is_that_of_the_whole(first, data):
    number = torch.arange(len(first))
    first = torch.tensor(first)
    then = torch.tensor(
        data.draw(st.lists(st.booleans(), min_size=int(first.sum()), max_size=int(first.sum()))), dtype=bool
    )
    found = kept.composed(kept.composed({}, {"a": {1: first}}), {"a": {1: then}, "b": {0: then}})
    assert torch.equal(number[found["a"][1]], number[first][then])
    assert torch.equal(found["b"][0], then)


def test_what_is_not_cut_stays_and_nothing_given_is_changed():
    was = {"a": {0: torch.tensor([True, False, True])}}
    found = kept.composed(was, {"a": {1: torch.tensor([False, True])}})
    assert {name: sorted(dims) for name, dims in found.items()} == {"a": [0, 1]}
    assert list(was["a"]) == [0]


def test_it_comes_back_from_a_file(tmp_path):
    told = {"a.weight": {0: torch.rand(17) > 0.5, 1: torch.rand(8) > 0.5}, "b": {0: torch.ones(3, dtype=bool)}}
    kept.save(told, tmp_path)
    found = kept.load(tmp_path)
    assert found.keys() == told.keys()
    assert all(torch.equal(found[name][dim], stays) for name, dims in told.items() for dim, stays in dims.items())
    assert kept.load(tmp_path / "none") == {}


@pytest.mark.parametrize("text", ["{", '{"a": 1}', '{"a": {"0": {"count": 9, "packed": "AA=="}}}'])
def test_a_damaged_file_is_refused(text, tmp_path):
    (tmp_path / kept.FILE).write_text(text)
    with pytest.raises(RunError, match="cannot be read"):
        kept.load(tmp_path)
