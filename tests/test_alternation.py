"""The protocol: variants alternate, warm-up does not count, and it ends when it is sure or its time is up."""

from __future__ import annotations

import itertools
import math
import random
import time
from collections import Counter

import pytest

from prunebench.alternation import BRIEF, FIRST_LOOK, WINDOW, alternate, on_the_clock
from prunebench.errors import Stopped
from prunebench.statistics import paired_speedup


def fake(call):
    """A stopwatch for calls that say themselves how many milliseconds they took."""
    return call()


def constant(**milliseconds):
    """Variants that always take as long."""
    return {name: lambda value=value: value for name, value in milliseconds.items()}


def noisy(seed, spread, **medians):
    """Variants whose times scatter log-normally."""
    draw = random.Random(seed)
    return {name: lambda m=m: m * math.exp(draw.gauss(0, spread)) for name, m in medians.items()}


def test_variants_are_timed_equally_often_and_warm_up_is_left_out():
    calls = []
    variants = {name: lambda name=name: calls.append(name) or 1.0 for name in "abc"}
    timed = alternate(variants, [("a", "b")], seconds=60, ci_width=0.03, seed=0, stopwatch=fake)
    rounds = len(timed.samples_ms["a"])
    assert {len(samples) for samples in timed.samples_ms.values()} == {rounds}
    assert Counter(calls) == dict.fromkeys("abc", rounds + timed.warmup_rounds)


def test_a_round_holds_every_variant_in_an_order_that_changes():
    calls = []
    variants = {name: lambda name=name: calls.append(name) or 1.0 for name in "abc"}
    alternate(variants, [], seconds=0, ci_width=0.03, seed=1, at_least=20, stopwatch=fake)
    rounds = [tuple(calls[start : start + 3]) for start in range(0, len(calls), 3)]
    assert all(sorted(order) == ["a", "b", "c"] for order in rounds)
    assert len(set(rounds)) > 3


@pytest.mark.parametrize(("seconds", "at_least", "brief"), [(60, 20, BRIEF), (0, 3, 1), (1.21, 20, 3)])
def test_what_is_timed_briefly_is_in_the_first_rounds_alone(seconds, at_least, brief):
    calls = []
    variants = {name: lambda name=name: calls.append(name) or 50.0 for name in "abc"}
    how = {"seconds": seconds, "ci_width": 0.03, "seed": 2, "at_least": at_least, "stopwatch": fake}
    timed = alternate(variants, [("a", "b")], briefly=["c"], **how)
    assert {name: len(samples) for name, samples in timed.samples_ms.items()} == {
        "a": at_least,
        "b": at_least,
        "c": brief,
    }
    counted = calls[-(2 * at_least + brief) :]  # what warmed up came before
    assert set(counted[: 3 * brief]) == {*"abc"}
    assert "c" not in counted[3 * brief :]


@pytest.mark.parametrize(("seconds", "at_least", "rounds"), [(0, 1, 1), (-5, 1, 1), (0, 7, 7)])
def test_without_time_the_rounds_that_must_be_are_made(seconds, at_least, rounds):
    timed = alternate(constant(a=2.0), [], seconds=seconds, ci_width=0.03, seed=0, at_least=at_least, stopwatch=fake)
    assert timed.samples_ms == {"a": (2.0,) * rounds}
    assert (timed.warmup_rounds, timed.ended) == (1, "budget")


def test_it_ends_at_the_first_look_where_nothing_scatters():
    timed = alternate(constant(a=4.0, b=2.0), [("a", "b")], seconds=60, ci_width=0.03, seed=0, stopwatch=fake)
    assert (len(timed.samples_ms["a"]), timed.ended) == (FIRST_LOOK, "interval")


def test_it_goes_on_until_the_interval_of_every_pair_is_narrow():
    for seed in range(5):
        pairs = [("a", "b"), ("a", "c")]
        variants = noisy(seed, 0.2, a=4.0, b=2.0) | noisy(seed + 99, 0.1, c=1.0)
        timed = alternate(variants, pairs, seconds=60, ci_width=0.05, seed=seed, stopwatch=fake)
        assert timed.ended == "interval"
        for one, other in pairs:
            assert paired_speedup(timed.samples_ms[one], timed.samples_ms[other]).half_width <= 0.05


def test_looking_again_and_again_leaves_the_interval_honest():
    covered = 0
    for seed in range(300):
        variants = noisy(seed, 0.1, a=4.0, b=2.0)
        timed = alternate(variants, [("a", "b")], seconds=60, ci_width=0.05, seed=seed, stopwatch=fake)
        found = paired_speedup(timed.samples_ms["a"], timed.samples_ms["b"])
        covered += found.low <= 2 <= found.high
    assert covered / 300 >= 0.90  # 0.95 where one looks once; 0.93 was measured over 400 trials


def test_it_ends_when_time_is_up_and_says_so():
    started = time.perf_counter()
    variants = {"a": lambda: time.sleep(0.01), "b": lambda: time.sleep(0.01 * random.random())}
    timed = alternate(variants, [("a", "b")], seconds=0.3, ci_width=1e-9, seed=0)
    assert 0.3 <= time.perf_counter() - started < 1.5
    assert timed.ended == "budget"


def test_warm_up_lasts_until_no_variant_becomes_faster():
    count = itertools.count()

    def falling():
        return max(10.0, 100.0 - 5 * next(count))  # constant from the 19th call on

    variants = {"a": falling, "b": lambda: 1.0}
    timed = alternate(variants, [("a", "b")], seconds=60, ci_width=1, seed=0, stopwatch=fake)
    assert set(timed.samples_ms["a"]) == {10.0}
    assert 19 <= timed.warmup_rounds <= 19 + 3 * WINDOW


def test_warm_up_of_what_is_constant_is_short():
    timed = alternate(constant(a=1.0), [("a", "a")], seconds=60, ci_width=1, seed=0, stopwatch=fake)
    assert timed.warmup_rounds == 1 + 2 * WINDOW


def test_samples_are_milliseconds():
    assert 20 <= on_the_clock(lambda: time.sleep(0.02)) < 2_000  # in microseconds it would be more


def test_it_stops_before_the_next_round_when_asked_to():
    asked = itertools.count()
    with pytest.raises(Stopped):
        alternate(constant(a=1.0), [], seconds=60, ci_width=0.03, seed=0, stopwatch=fake, stop=lambda: next(asked) >= 5)
    assert next(asked) == 6
