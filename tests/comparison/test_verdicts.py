"""Verdicts: paired by seed, mirrored when turned round, and never surer than the seeds allow."""

from __future__ import annotations

from math import isnan

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunebench.comparison.measures import AFTER, AREA, LEFT
from prunebench.comparison.verdicts import common_seeds, compare, corrected, pairs, summarise, telling
from prunebench.errors import RunError
from prunebench.records import METRICS
from prunebench.results.curves import Curve
from prunebench.statistics import holm, wilson

TOP1 = "top1" + AFTER
SETTINGS = {"model": "tiny", "dataset": "digits", "method": "structured", "criterion": "l2", "fraction": 0.1}
MIRRORED = {"better": "worse", "worse": "better", "indistinguishable": "indistinguishable"}


def curve(seed, correct, fraction=0.1, metric="top1", **settings):
    """A run with so many of 1000 test samples correct after each step."""
    n = len(correct)
    after = tuple(count / 1000 for count in correct)
    settings = {**SETTINGS, "finetune_epochs": 1, "epochs": 2, "fraction": fraction, **settings}
    share = 1.0 if settings["method"] == "none" else 1 - fraction
    left = tuple(share**i for i in range(n))
    macs = left if settings["method"] == "structured" else (1.0,) * n
    return Curve(
        name=f"{settings['method']}-{seed}",
        settings=settings,
        seed=seed,
        steps=tuple(range(n)),
        before=after,
        after=after,
        train_before=after,
        train_after=after,
        axes={"left": left, "macs": macs, "params": left},
        tested=(1000,) * n,
        metric=METRICS[metric],
    )


def group(*runs, **settings):
    return [curve(seed, correct, **settings) for seed, correct in enumerate(runs)]


@st.composite
def groups(draw, **settings):
    """One to five seeds, each with two to four steps."""
    seeds = draw(st.lists(st.integers(0, 5), min_size=1, max_size=5, unique=True))
    counts = st.lists(st.integers(0, 1000) | st.sampled_from([900, 910]), min_size=2, max_size=4)
    return [curve(seed, draw(counts), **settings) for seed in seeds]


@given(
    groups(),
    st.sampled_from(["unstructured", "structured", "none"]).flatmap(lambda name: groups(method=name, criterion="l1")),
)
def test_turned_round_a_comparison_is_its_mirror(a, b):
    if not common_seeds(a, b):
        return
    forth, back = compare(a, b), compare(b, a)
    assert [(v.measure, v.step) for v in forth] == [(v.measure, v.step) for v in back]
    for one, other in zip(forth, back, strict=True):
        assert one.verdict == MIRRORED[other.verdict]
        assert repr((one.a, one.b, one.of_a, one.of_b)) == repr((other.b, other.a, other.of_b, other.of_a))
        assert (one.mean_a, one.mean_b, one.seeds, one.n) == (other.mean_b, other.mean_a, other.seeds, other.n)
        turned = (-other.difference, -other.high, -other.low, other.p, other.p_holm)
        found = (one.difference, one.low, one.high, one.p, one.p_holm)
        assert found == pytest.approx(turned, nan_ok=True, abs=1e-12)
        assert one.seeds_needed == other.seeds_needed


@given(groups(), groups(criterion="l1"))
def test_a_verdict_says_what_its_interval_does(a, b):
    if not common_seeds(a, b):
        return
    for verdict in compare(a, b):
        assert verdict.n == len(verdict.seeds) == verdict.of_a.n == verdict.of_b.n
        assert verdict.difference == pytest.approx(verdict.mean_a - verdict.mean_b, abs=1e-9)
        ahead = verdict.low > 0 if verdict.higher_is_better else verdict.high < 0
        behind = verdict.high < 0 if verdict.higher_is_better else verdict.low > 0
        assert not verdict.bounded or verdict.verdict == "indistinguishable"
        if verdict.verdict == "indistinguishable":
            assert not ahead
            assert not behind
        else:
            assert {"better": ahead, "worse": behind}[verdict.verdict]
            assert verdict.p <= 0.05
            assert (
                verdict.seeds_needed <= 2.1 * verdict.n + 1
            )  # for a power of 80 %: ((1.96 + 0.84) / 1.96)² times as many
        if verdict.n == 1:
            assert (verdict.verdict, verdict.seeds_needed) == ("indistinguishable", None)
            assert all(map(isnan, (verdict.low, verdict.high, verdict.p)))


def test_pairs_are_those_of_one_seed_and_others_do_not_count():
    """What seeds share drops out: both go up and down together, and A is 11 to 13 samples better."""
    a = [curve(seed, [900, count + 10 + seed]) for seed, count in ((3, 800), (1, 500), (2, 650), (9, 0))]
    b = [curve(seed, [900, count], criterion="l1") for seed, count in ((1, 500), (2, 650), (3, 800), (7, 999))]
    (verdict, *_) = compare(a, b)
    assert (verdict.measure, verdict.step, verdict.seeds) == (TOP1, 1, (1, 2, 3))
    assert (verdict.a, verdict.b) == ("l2", "l1")
    assert verdict.difference == pytest.approx(0.012)
    assert verdict.verdict == "better"
    t = 12 * 3**0.5
    assert verdict.p == pytest.approx(1 - t / (t**2 + 2) ** 0.5)  # Student's distribution with two degrees of freedom
    assert verdict.mean_b == pytest.approx(0.65)


def test_without_a_common_seed_the_error_names_those_of_both():
    with pytest.raises(RunError, match="A has 0, 1; B has 2") as error:
        compare(group([900, 800], [900, 800]), [curve(2, [900, 800])])
    assert "--seed" in str(error.value)


def test_steps_are_compared_where_as_much_is_left_and_whole_runs_always():
    a, b = group([900, 890, 700], [900, 880, 720]), group([900, 880, 700], [900, 870, 690], fraction=0.3)
    assert {(v.measure, v.step) for v in compare(a, b)} == {
        (AREA["macs"], None),
        (LEFT["params"], None),
        (LEFT["macs"], None),
    }
    assert [v.step for v in compare(a, group([900, 880, 700], criterion="l1")) if v.measure == TOP1] == [1, 2]


def test_one_step_is_compared_with_those_of_another_schedule_after_which_as_much_is_left():
    slow, fast = group([900, 890, 880], [900, 870, 865], fraction=0.5), group([900, 800], [900, 790], fraction=0.75)
    (found,) = [v for v in compare(slow, fast) if v.measure == TOP1]
    assert (found.step, found.of_b.step, found.steps, found.difference) == (2, 1, "2 | 1", 0.0775)
    (turned,) = [v for v in compare(fast, slow) if v.measure == TOP1]
    assert (turned.steps, turned.difference) == ("1 | 2", -0.0775)
    rounded = group([900] + [800] * 12, [900] + [790] * 12, fraction=0.1591)
    halves = group([900] * 4, [900] * 4, fraction=0.5)
    assert [v.steps for v in compare(halves, rounded) if v.measure == TOP1] == ["1 | 4", "2 | 8", "3 | 12"]


def test_the_unpruned_model_is_compared_where_it_was_trained_otherwise():
    a, b = group([900, 890], [910, 880]), group([900, 890], [910, 880], epochs=5)
    assert [v.step for v in compare(a, b) if v.measure == TOP1] == [0, 1]


def test_a_control_is_compared_step_by_step_after_as_many_epochs_and_in_nothing_else():
    a, control = group([900, 890, 880], [910, 890, 870]), group([900, 910, 920], [910, 915, 930], method="none")
    assert [(v.measure, v.step) for v in compare(a, control)] == [(TOP1, 1), (TOP1, 2)]
    for other in ({"finetune_epochs": 3}, {"retrain": "lr-rewind"}, {"rewind_epoch": 2}):
        assert compare(a, group([900, 910, 920], method="none", **other)) == []


def test_less_left_at_a_loss_is_better():
    a, b = group([900, 895, 895, 700], [900, 896, 895, 600]), group([900, 700], [900, 710], criterion="l1")
    found = {v.measure: v for v in compare(a, b)}
    left = found[LEFT["params"]]
    assert left.mean_a < left.mean_b
    assert (left.higher_is_better, left.verdict) == (False, "better")
    assert compare(b, a)[-1].verdict == "worse"


def test_of_a_metric_that_is_better_when_lower_less_is_better():
    low = group([90, 210], [90, 220], [90, 231], metric="loss")
    high = group([90, 310], [90, 321], [90, 330], metric="loss", criterion="l1")
    (found,), (turned,) = compare(low, high), compare(high, low)
    assert (found.measure, found.step, found.higher_is_better) == ("loss" + AFTER, 1, False)
    assert found.difference == pytest.approx(-0.1)
    assert (found.verdict, turned.verdict) == ("better", "worse")
    assert {(of.wilson_low, of.wilson_high) for of in (found.of_a, found.of_b)} == {(None, None)}
    assert telling([found]) is found


def test_intervals_of_a_metric_that_is_no_share_may_go_beyond_1_but_not_below_0():
    (_, found) = summarise(group([90, 900], [90, 1500], metric="loss"))
    assert (found.mean, found.low) == (pytest.approx(1.2), 0)
    assert found.high > 1.5


def test_a_run_that_ended_before_it_lost_a_point_may_yet_turn_the_verdict():
    """B stopped with 0.9 left and all its accuracy, A got to 0.7 or so: B might have got further."""
    a = group([900, 899, 898, 898, 600], [900, 899, 898, 897, 600], [900, 899, 898, 899, 500])
    b = group([900, 900], [900, 899], [900, 901], criterion="l1")
    left = {v.measure: v for v in compare(a, b)}[LEFT["params"]]
    assert isnan(left.low)
    assert isnan(left.high)
    assert (left.verdict, left.seeds_needed, left.of_a.upper_bounds, left.of_b.upper_bounds) == (
        *("indistinguishable", None),
        *(0, 3),
    )
    assert isnan(left.p)
    # what has less left already could only have less, but nobody knows how much that varies
    c = group([900, 700], [900, 710], [900, 690], criterion="l1")
    left = {v.measure: v for v in compare(b, c)}[LEFT["params"]]
    assert (left.verdict, left.of_a.upper_bounds, left.bounded) == ("indistinguishable", 3, True)
    assert (isnan(left.p), isnan(left.of_a.high), isnan(left.of_b.high)) == (True, True, False)


def test_the_last_step_that_most_seeds_have_tells_the_most():
    a = group([900, 890, 880, 870], [900, 880, 870], [900, 890, 860])
    found = compare(a, group([900, 880, 860, 850], [900, 870, 860], [900, 870, 850], criterion="l1"))
    assert [(v.step, v.n) for v in found if v.measure == TOP1] == [(1, 3), (2, 3), (3, 1)]
    assert telling(found).step == 2
    assert telling([v for v in found if v.measure != TOP1]) is None


def test_the_same_difference_in_every_seed_proves_nothing_before_six_seeds():
    for n in range(2, 8):
        a = [curve(seed, [900, 300 + 7 * seed]) for seed in range(n)]
        b = [curve(seed, [900, 290 + 7 * seed], criterion="l1") for seed in range(n)]
        verdict = compare(a, b)[0]
        assert verdict.difference == pytest.approx(0.01)
        assert verdict.verdict == ("better" if n >= 6 else "indistinguishable")
        assert verdict.seeds_needed == 6
        assert isnan(verdict.low) == (n < 6)


def test_verdicts_are_corrected_for_being_made_together():
    draw = np.random.default_rng(0)
    a = group(*(draw.integers(850, 900, 6).tolist() for _ in range(4)))
    b = group(*(draw.integers(840, 890, 6).tolist() for _ in range(4)), criterion="l1")
    found = compare(a, b)
    assert [v.p_holm for v in found] == pytest.approx(holm([v.p for v in found]), nan_ok=True)
    more = corrected(found + found)
    assert all(v.p_holm >= w.p_holm for v, w in zip(more, found + found, strict=True) if not isnan(v.p))


def test_a_difference_that_is_not_there_is_seen_once_in_twenty_times():
    draw, seen = np.random.default_rng(1), 0
    for _ in range(1000):
        a, b = (
            [curve(seed, [900, int(count)], criterion=name) for seed, count in enumerate(draw.normal(800, 30, 4))]
            for name in ("l1", "l2")
        )
        seen += compare(a, b)[0].verdict != "indistinguishable"
    assert 25 <= seen <= 75


def test_a_summary_holds_the_mean_its_spread_and_what_the_test_samples_allow():
    found = summarise(group([900, 880], [910, 860], [890, 870]))
    first = found[1]
    assert (first.measure, first.step, first.n) == (TOP1, 1, 3)
    assert (first.mean, first.sd) == pytest.approx((0.87, 0.01))
    assert first.high - first.mean == pytest.approx(4.302653 * 0.01 / 3**0.5)
    # one run has 1000 samples, and three runs have the same 1000
    assert (first.wilson_low, first.wilson_high) == pytest.approx(wilson(0.87, 1000))
    area, params, macs = found[2:]
    assert [area.measure, params.measure, macs.measure] == [AREA["macs"], LEFT["params"], LEFT["macs"]]
    assert (area.down_to, area.wilson_low, area.mean) == (pytest.approx(0.9), None, pytest.approx(0.885))
    assert first.upper_bounds == 0


def test_one_seed_has_no_spread_and_is_written_without_one():
    found = summarise(group([900, 895]))
    assert [s.n for s in found] == [1] * len(found)
    assert all(isnan(s.sd) and isnan(s.low) and isnan(s.high) for s in found)
    assert found[-1].upper_bounds == 1
    assert b'"sd":null' in msgspec.json.encode(found[0])


@given(groups())
def test_intervals_stay_where_accuracies_and_shares_can_be(a):
    for found in summarise(a):
        if not isnan(found.low):
            assert 0 <= found.low <= found.mean <= found.high <= 1


def test_every_two_groups_of_one_model_are_compared_and_controls_stand_on_the_right():
    made = [
        group([900, 800], method="none"),
        group([900, 800], criterion="random"),
        group([900, 800]),
        group([900, 800], model="other"),
        group([900, 800], dataset="mnist"),
        group([900, 800], fraction=0.5),
    ]
    found = [tuple(made.index(side) for side in pair) for pair in pairs(made)]
    assert found == [(2, 5), (2, 1), (2, 0), (5, 1), (5, 0), (1, 0)]
    turned = [tuple(made.index(side) for side in pair) for pair in pairs(made[::-1])]
    assert turned == found
    assert pairs([]) == pairs(made[:1]) == []


def test_a_seed_that_stopped_early_counts_where_it_got_to():
    a, b = group([900, 890, 880], [900, 885]), group([900, 880, 870], [900, 875, 860], criterion="l1")
    assert [(v.step, v.n) for v in compare(a, b) if v.measure == TOP1] == [(1, 2), (2, 1)]


def test_names_are_taken_as_given():
    found = compare(group([900, 890]), group([900, 880], criterion="l1"), ("mine", "theirs"))
    assert {(v.a, v.b) for v in found} == {("mine", "theirs")}
