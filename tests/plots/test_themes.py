"""Every colour of both themes can be read on its paper, and lines are told apart by the colour-blind too."""

from __future__ import annotations

import re
from itertools import combinations
from math import dist
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import prunebench
from prunebench.plots.themes import LEAST_OF_LINES, LEAST_OF_TEXT, THEMES, as_text, contrast, ink_on, theme, themed

SEEN_BY = {
    "all": np.eye(3),
    "without red": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "without green": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "without blue": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
"""Linear RGB as it is seen (Machado et al. 2009, severity 1)."""

APART = 16
"""CIE76 between any two lines at least: of the colours of Okabe and Ito, the nearest two are so far apart."""

colours = st.integers(0, 0xFFFFFF).map(lambda value: f"#{value:06x}")


def lab(colour, seen):
    """CIE L*a*b* of a colour, D65."""
    values = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ np.clip(seen @ linear, 0, 1) / (0.9505, 1, 1.089)
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def test_contrast_is_that_of_wcag():
    assert contrast("#000000", "#ffffff") == contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)
    assert contrast("#123456", "#123456") == 1


@pytest.mark.parametrize("name", THEMES)
def test_lines_stand_out_from_the_paper_and_texts_from_whatever_is_behind_them(name):
    of = THEMES[name]
    for line in (*of.lines, of.quiet, of.focus):
        assert contrast(line, of.paper) >= LEAST_OF_LINES, line
    assert contrast(of.focus, of.gone) >= LEAST_OF_LINES
    assert contrast(of.quiet, of.gone) >= LEAST_OF_LINES
    for text in (of.ink, of.quiet, of.warning):
        assert contrast(text, of.paper) >= LEAST_OF_TEXT, text
        assert contrast(text, of.raised) >= LEAST_OF_TEXT, text
    assert 1 < contrast(of.losses[0], of.paper) < contrast(of.losses[1], of.paper)


@pytest.mark.parametrize("seen", SEEN_BY)
@pytest.mark.parametrize("name", THEMES)
def test_lines_are_told_apart_whatever_colours_someone_sees(name, seen):
    of = THEMES[name]
    for one, other in combinations(of.lines, 2):
        assert dist(lab(one, SEEN_BY[seen]), lab(other, SEEN_BY[seen])) > APART, (one, other)


@pytest.mark.parametrize("name", THEMES)
@given(colour=colours)
def test_text_of_any_colour_and_on_any_colour_can_be_read(name, colour):
    with themed(name) as of:
        assert contrast(as_text(colour), of.paper) >= LEAST_OF_TEXT
    assert contrast(ink_on(colour), colour) >= LEAST_OF_TEXT


def test_a_colour_that_can_be_read_stays_as_it_is():
    with themed("light"):
        assert as_text("#0072b2") == "#0072b2"
        assert as_text("#cc79a7") != "#cc79a7"


def test_pictures_are_light_unless_something_else_is_said():
    assert theme() is THEMES["light"]
    with themed("dark"):
        assert theme() is THEMES["dark"]
    assert theme() is THEMES["light"]


def test_no_colour_stands_anywhere_else():
    rooms = Path(prunebench.__file__).parent
    files = [*(rooms / "plots").rglob("*.py"), *(rooms / "report").glob("*.*")]
    named = re.compile(r"#[0-9a-fA-F]{6}\b|[\"'](?:white|black|gr[ae]y|red|blue|k|w)[\"']")
    found = {path.name: named.findall(path.read_text(encoding="utf-8")) for path in files if path.suffix != ".pyc"}
    assert {name for name, colours in found.items() if colours} == {"themes.py"}
