import pytest

from prunebench.pruning.registry import criteria


@pytest.mark.parametrize("value", [0.0, 0.3, 2.0])
def test_a_block_scores_its_influence_and_weights_are_not_scored(value):
    assert criteria.get("influence").block(influence=value) == value
    assert criteria.get("influence").score is None
