"""uniform+ spares the first convolution, and keeps a fifth of the last layer; the others keep the same share."""

from __future__ import annotations

from math import prod

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from prunebench.errors import ConfigError
from prunebench.pruning.methods import unstructured
from prunebench.pruning.scopes.uniform_plus import uniform_plus

PUBLISHED = {"first": (10, 10, 1), "a": (10, 100), "b": (100, 10), "last": (10, 10)}


def kept(shapes, stay, left=None):
    sizes = {name: prod(shape) for name, shape in shapes.items()}
    left = left or sizes
    gone = uniform_plus(shapes, sizes, left, sum(left.values()) - stay)
    return {name: left[name] - gone[name] for name in shapes}


@pytest.mark.parametrize(
    ("shapes", "stay", "told"),
    [
        (PUBLISHED, 220, (100, 50, 50, 20)),  # Gale et al. 2019, by hand
        (PUBLISHED, 1150, (100, 500, 500, 50)),  # where the others keep more than a fifth, the last one keeps as much
        (PUBLISHED, 120, (100, 0, 0, 20)),
        ({"a": (10, 10), "last": (10, 10)}, 100, (50, 50)),  # without a convolution none is spared
        ({"a": (10, 10), "last": (10, 10)}, 30, (10, 20)),
    ],
)
def test_what_stays_is_as_the_paper_says(shapes, stay, told):
    assert tuple(kept(shapes, stay).values()) == told


def test_a_fifth_is_of_the_original_weights():
    left = {"first": 100, "a": 50, "b": 1000, "last": 30}
    assert tuple(kept(PUBLISHED, 1100, left).values()) == (100, 50, 920, 30)
    assert tuple(kept(PUBLISHED, 220, left).values()) == (100, 50, 50, 20)


def test_more_than_may_go_is_refused():
    with pytest.raises(
        ConfigError, match=r"keeps all 100 weights of first and a fifth of last, and 119 are to be left"
    ):
        kept(PUBLISHED, 119)
    with pytest.raises(ConfigError, match="prune less"):
        kept({"only": (2, 3, 1)}, 5)


@given(st.lists(st.integers(1, 60), min_size=3, max_size=6), st.data())
def test_what_goes_sums_up_exactly(sizes, data):
    shapes = {str(i): (size, 1, 1) for i, size in enumerate(sizes)}
    left = {name: data.draw(st.integers(1, size)) for name, size in zip(shapes, sizes, strict=True)}
    stay = data.draw(st.integers(0, sum(left.values())))
    assume(stay >= left["0"] + sizes[-1])
    found = kept(shapes, stay, left)
    assert sum(found.values()) == stay
    assert all(0 <= found[name] <= left[name] for name in shapes)


def test_that_more_would_have_to_go_in_the_end_is_told_before_the_first_step(tiny_net, images12, request_for):
    model = tiny_net(3)
    for asked in ({"gone": 0.9}, {"fraction": 0.2, "step": 12}):
        with pytest.raises(ConfigError, match=r"keeps all 216 weights of features\.0\.weight"):
            unstructured.check(model, request_for(images12, criterion="l1", scope="uniform+", **asked))
    unstructured.check(model, request_for(images12, 0.2, criterion="l1", scope="uniform+", step=8))
