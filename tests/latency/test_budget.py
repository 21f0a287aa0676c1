"""A budget is shared out by weight, and what is left over is not lost."""

from __future__ import annotations

import time

import pytest

from prunebench.latency.budget import Budget


def test_shares_are_as_their_weights():
    budget = Budget(60.0, [1, 2, 3])
    shares = []
    for weight in (3, 1, 2):
        with budget.share(weight) as seconds:
            shares.append(seconds)
    assert shares == pytest.approx([30, 20, 60], rel=1e-3)  # nothing was used, so all of it is left to the last


def test_what_is_used_is_taken_off_and_the_rest_goes_to_those_after():
    budget = Budget(1.0, [1, 1])
    with budget.share(1) as first:
        time.sleep(0.1)
    with budget.share(1) as second:
        pass
    assert first == pytest.approx(0.5)
    assert 0.5 < second < 0.9


def test_a_share_of_what_is_used_up_is_nothing():
    budget = Budget(0.01, [1, 1])
    with budget.share(1):
        time.sleep(0.02)
    with budget.share(1) as seconds:
        assert seconds == 0
