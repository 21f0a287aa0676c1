"""Boards as text hold every figure, and Markdown of them is tables."""

from __future__ import annotations

from math import nan

import pytest

from prunebench.comparison.board import Board, Line, Paired, Row, Spread, Table
from prunebench.comparison.board_tables import difference, markdown, p_value, spread, text

SPREAD = Spread(5, 0.9, 0.88, 0.92)
WORSE = Paired(other="l1", n=5, difference=-0.05, low=-0.08, high=-0.02, p=0.004)
AREA = Paired(other="l1", n=5, difference=0.001, low=-0.01, high=0.012)
TABLE = Table(
    title="resnet18 on digits, unstructured, to 90 % sparsity",
    against=("l1",),
    metric="accuracy",
    share=True,
    axis="parameters",
    down_to=0.1,
    left={"params": 0.1, "macs": 1.0},
    together=13,
    missing=2,
    ranked=28,
    rows=(
        Row(
            ranks=(1, 2), criterion="l1", score=SPREAD, against=(None,), area=SPREAD, area_against=(None,), seconds=0.5
        ),
        Row(
            ranks=(2, 2),
            criterion="random",
            score=SPREAD,
            against=(WORSE,),
            area=SPREAD,
            area_against=(AREA,),
            seconds=0.01,
        ),
    ),
    lines=(Line("unpruned", Spread(1, 0.95, nan, nan)),),
    absent=("taylor",),
)
BOARD = Board(told=("Comparisons of mine.toml.",), tables=(TABLE,))


def test_the_terminal_has_every_figure_and_what_it_means():
    found = text(BOARD)
    unbroken = " ".join(found.split())
    for said in (
        "Comparisons of mine.toml.",
        "resnet18 on digits, unstructured, to 90 % sparsity rank criterion accuracy",
        "−5.0 (−8.0 to −2.0)",
        "0.900 (0.880–0.920)",
        "10 % of the parameters are left; 5 seeds; corrected for 13 comparisons.",
        "2 comparisons lack runs",
        "No run is finished of taylor.",
        "p seconds 1–2 l1 0.900",
        "Rank: those that a criterion may have, from 1 + how many of the table are better to how many are not worse",
        "28 paired t",
    ):
        assert said in unbroken
    assert "**" not in found
    assert max(map(len, found.splitlines())) < 160


def test_markdown_is_a_table_of_equal_rows_in_which_what_is_told_apart_is_bold():
    lines = markdown(BOARD).splitlines()
    assert "## resnet18 on digits, unstructured, to 90 % sparsity" in lines
    rows = [line.split("|") for line in lines if line.startswith("|")]
    assert {len(row) for row in rows} == {10}
    assert len(rows) == 2 + 3
    assert "| 2 | random | 0.900 (0.880–0.920) | **−5.0 (−8.0 to −2.0)** | 0.004 |" in "\n".join(lines)
    assert markdown(Board(told=("Nothing yet.",), tables=())) == "Nothing yet.\n\n\n"


@pytest.mark.parametrize(
    ("of", "share", "said"),
    [
        (None, True, "–"),
        (Paired(other="l1", n=5, difference=0.0, low=nan, high=nan, p=1.0), True, "0 in every seed"),
        (Paired(other="l1", n=5, difference=-0.1, low=nan, high=nan, p=1.0), True, "−10.0 in every seed"),
        (Paired(other="l1", n=5, difference=-0.0001, low=-0.1, high=0.1, p=1.0), True, "0.0 (−10.0 to +10.0)"),
        (Paired(other="l1", n=5, difference=0.25, low=-0.5, high=1.0, p=1.0), False, "+0.2500 (−0.5000 to +1.0000)"),
    ],
)
def test_differences_are_in_points_of_shares(of, share, said):
    assert difference(of, share) == said


@pytest.mark.parametrize(("p", "said"), [(0.0004, "<0.001"), (0.03124, "0.031"), (0.999, "1"), (nan, "")])
def test_p_values_are_short(p, said):
    assert p_value(Paired(other="l1", n=5, difference=0.1, low=0.0, high=0.2, p=p)) == said


def test_one_seed_has_no_interval():
    assert spread(Spread(1, 0.5, nan, nan)) == "0.500"
