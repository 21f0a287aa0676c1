"""Tables of verdicts tell means, intervals and what they say, in rows that fit a terminal."""

from __future__ import annotations

import re
from math import nan

import msgspec
import pytest

from prunebench.comparison.matching import Match
from prunebench.comparison.measures import AFTER, AREA, LEFT
from prunebench.comparison.tables import apart, explained, verdicts, word
from prunebench.comparison.verdicts import Summary, Verdict
from prunebench.results.curves import Curve
from prunebench.statistics import MOST_SEEDS

TOP1 = "top1" + AFTER

SUMMARY = Summary(
    measure=TOP1, step=1, n=3, mean=0.95, sd=0.006, low=0.934, high=0.966, wilson_low=0.912, wilson_high=0.968
)
VERDICT = Verdict(
    measure=TOP1,
    step=1,
    a="structured l2",
    b="structured l1",
    n=3,
    seeds=(0, 1, 2),
    mean_a=0.95,
    mean_b=0.94,
    difference=0.01,
    low=-0.013,
    high=0.033,
    verdict="indistinguishable",
    seeds_needed=12,
    higher_is_better=True,
    p=0.3,
    p_holm=0.3,
    of_a=SUMMARY,
    of_b=msgspec.structs.replace(SUMMARY, mean=0.94, low=0.924, high=0.956),
)
WHOLE = msgspec.structs.replace(SUMMARY, step=None, wilson_low=None, wilson_high=None)
LEFT_OVER = msgspec.structs.replace(
    VERDICT,
    measure=LEFT["params"],
    step=None,
    of_a=msgspec.structs.replace(WHOLE, upper_bounds=1),
    of_b=WHOLE,
)


def verdict(**changes):
    return msgspec.structs.replace(VERDICT, **changes)


def test_a_row_holds_both_groups_the_difference_and_the_verdict():
    lines = verdicts([VERDICT]).splitlines()
    assert lines[:3] == ["A: structured l2", "B: structured l1", "Paired by seed: 0, 1, 2 (n = 3)."]
    means, difference = (line for line in lines if line.startswith("1 "))
    assert re.split(r"  +", means) == [
        "1",
        "0.950 ± 0.006 (0.934–0.966)",
        "0.940 ± 0.006 (0.924–0.956)",
        "0.912–0.968 | 0.912–0.968",
    ]
    assert re.split(r"  +", difference) == [
        "1",
        "+0.0100 (-0.0130 to +0.0330)",
        "indistinguishable at n=3; about 12 seeds would tell (80 %)",
    ]


def test_a_metric_without_an_interval_has_no_column_of_test_samples():
    of = msgspec.structs.replace(SUMMARY, wilson_low=None, wilson_high=None)
    loss = verdict(measure="loss" + AFTER, higher_is_better=False, of_a=of, of_b=of)
    text = verdicts([loss])
    assert "Test cross-entropy after fine-tuning\nstep  A " in text
    means = next(line for line in text.splitlines() if line.startswith("1 "))
    assert re.split(r"  +", means) == ["1", "0.950 ± 0.006 (0.934–0.966)", "0.950 ± 0.006 (0.934–0.966)"]
    assert "test samples" not in text + explained([loss])
    assert "|" not in text
    assert "test samples" in verdicts([VERDICT])


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"verdict": "better", "p_holm": 0.04}, "better at n=3"),
        ({"verdict": "worse", "p_holm": 0.06}, "worse at n=3*"),
        ({"seeds_needed": None}, "indistinguishable at n=3"),
        ({"seeds_needed": MOST_SEEDS}, "indistinguishable at n=3; about 1000 seeds would tell (80 %)"),
        ({"seeds_needed": MOST_SEEDS + 1}, "indistinguishable at n=3; over 1000 seeds would tell (80 %)"),
        ({"seeds_needed": None, "p": nan}, "indistinguishable at n=3; more iterations would tell"),
        ({"n": 1, "seeds_needed": None, "p": nan}, "indistinguishable at n=1; one seed cannot tell"),
    ],
)
def test_a_verdict_in_words(changes, text):
    assert word(verdict(**changes)) == text


def test_one_seed_shows_no_interval_and_is_explained():
    alone = msgspec.structs.replace(SUMMARY, n=1, sd=nan, low=nan, high=nan)
    one = verdict(n=1, seeds=(4,), low=nan, high=nan, p=nan, p_holm=nan, seeds_needed=None, of_a=alone, of_b=alone)
    text = verdicts([one])
    assert "0.950 (one seed)" in text
    assert "+0.0100  indistinguishable" in text
    assert "nan" not in text
    assert "One seed tells no spread" in explained([one])
    assert "verdicts at 95 %" not in explained([one])
    assert "One seed" not in explained([VERDICT])


def test_whole_runs_have_a_block_of_their_own_and_bounds_are_marked():
    area = verdict(
        measure=AREA["params"],
        step=None,
        of_a=msgspec.structs.replace(WHOLE, down_to=0.729),
        of_b=WHOLE,
        seeds_needed=4,
    )
    text = verdicts([VERDICT, area, LEFT_OVER])
    accuracies, wholes = text.split("Whole runs")
    assert "area" not in accuracies
    assert re.search(r"area \(params\) .* 0\.729\n", wholes)
    assert re.search(r"params left +≤ 0\.950 +0\.950 ±", wholes)
    told = explained([VERDICT, area, LEFT_OVER])
    assert "≤: some runs end before that" in told
    assert "area: under the curve" in told
    assert "area" not in explained([VERDICT])
    assert "Wilson" in explained([VERDICT])
    assert "Wilson" not in explained([LEFT_OVER])
    assert "Seeds that would tell (80 %)" in explained([VERDICT])


def test_more_than_two_groups_get_letters_and_rows_say_which_pair():
    third = verdict(b="dense, same epochs")
    text = verdicts([VERDICT, third, verdict(a="structured l1", b="dense, same epochs")])
    assert "C: dense, same epochs" in text
    assert [line[:5] for line in text.splitlines() if " − " in line[:5]] == ["A − B", "A − C", "B − C"] * 2
    many = verdicts([verdict(a=f"group {i}", b=f"group {i + 1}") for i in range(29)])
    assert "\nZ: group 25\nA1: group 26\n" in many


def test_the_number_of_verdicts_is_told_and_what_does_not_hold_for_all():
    sure = verdict(verdict="better", p=0.01, p_holm=0.02)
    doubtful = verdict(verdict="worse", p=0.04, p_holm=0.08)
    assert "2 verdicts at 95 %" in explained([VERDICT, VERDICT])
    assert "Holm" not in explained([VERDICT, VERDICT])
    assert "every better and worse holds" in explained([sure, VERDICT])
    assert "*: does not hold once corrected for their number (Holm): 1 of 2." in explained([sure, doubtful])


def test_equal_differences_are_marked_and_explained():
    same = verdict(low=nan, high=nan, seeds_needed=6)
    assert "+0.0100 (=)" in verdicts([same])
    assert "six such seeds" in explained([same])
    six = verdict(low=0.01, high=0.01, verdict="better", n=6)
    assert "+0.0100 (+0.0100 to +0.0100) =" in verdicts([six])
    assert "six such seeds" not in explained([verdict(difference=0.0, low=0.0, high=0.0)])


def test_steps_of_both_are_named_where_they_differ():
    apart = verdict(of_b=msgspec.structs.replace(VERDICT.of_b, step=4))
    assert [line.split("  ")[0] for line in verdicts([apart]).splitlines() if "|" in line] == ["1 | 4", "1 | 4"]
    assert "step 4 | 1, say" in explained([apart])
    assert "step 4 | 1, say" not in explained([VERDICT])


def test_lines_fit_into_100_columns():
    long = msgspec.structs.replace(LEFT_OVER, seeds_needed=None, p=nan)
    late = verdict(of_a=msgspec.structs.replace(SUMMARY, step=10), of_b=msgspec.structs.replace(SUMMARY, step=12))
    found = [msgspec.structs.replace(late, seeds_needed=MOST_SEEDS + 1), VERDICT, verdict(low=nan, high=nan), long]
    text = f"{verdicts(found)}\n{explained([*found, verdict(n=1), verdict(verdict='better', p_holm=0.5)])}"
    assert max(map(len, text.splitlines())) <= 100


def test_what_groups_differ_in_is_told():
    def match(**other):
        settings = {"model": "tiny", "method": "structured", "criterion": "l2"}
        a, b = (Curve("run", {**settings, **more}, 0, (), (), (), (), (), {}) for more in ({}, other))
        return Match([a], [b], ("a", "b"))

    assert apart([match()]) == "They have the same settings."
    assert apart([match(criterion="l1")]) == "They differ in criterion."
    assert "A step leaves as large a share in each" in apart([match(method="unstructured")])
    assert "A step leaves" not in apart([match(method="none")])
