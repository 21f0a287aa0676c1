"""Criteria, fractions and models are set side by side where they compare."""

from __future__ import annotations

import pytest

from prunebench.plots.registry import plots
from prunebench.results.matrix_files import Results


def lines_of(picture):
    """What the legend names."""
    return [text.get_text() for text in picture.figure.legends[0].get_texts()]


def test_criteria_are_compared_at_one_fraction(make_curve, in_style):
    curves = (
        *(make_curve(criterion=criterion) for criterion in ("l1", "random")),
        make_curve(fraction=0.75, left=(1.0, 0.25)),
        make_curve(model="other"),
        make_curve(method="none", left=(1.0, 1.0, 1.0)),
    )
    (picture,) = plots.get("criteria").draw(Results(curves=curves), "left")
    assert picture.name == "criteria-net-digits-unstructured-50pc"
    assert lines_of(picture) == ["l1", "random", "dense, same epochs"]
    assert picture.figure.get_suptitle() == "net on digits, unstructured, 50 % a step"


def test_fractions_are_compared_in_one_criterion(make_curve, in_style):
    curves = (
        make_curve(),
        make_curve(fraction=0.75, left=(1.0, 0.25)),
        make_curve(criterion="random"),
        make_curve(method="structured", fraction=0.1),
    )
    (picture,) = plots.get("fractions").draw(Results(curves=curves), "left")
    assert picture.name == "fractions-net-digits-unstructured-l1"
    assert lines_of(picture) == ["50 % a step", "75 % in one step"]
    one_shot = picture.figure.axes[0].get_lines()[1]
    assert list(one_shot.get_xdata()) == [1, 0.25]


def test_models_are_compared_at_the_fraction_that_most_share(make_curve, in_style):
    curves = (
        make_curve(fraction=0.3),
        make_curve(fraction=0.5),
        make_curve(model="other", dataset="reviews", fraction=0.5),
        make_curve(model="other", dataset="reviews", fraction=0.75),
        make_curve(model="third", fraction=0.5, left=(1.0, 0.5)),
        make_curve(model="third", fraction=0.2),
        make_curve(model="fourth", method="structured"),
    )
    (picture,) = plots.get("models").draw(Results(curves=curves), "left")
    assert picture.name == "models-unstructured-l1"
    assert lines_of(picture) == ["net", "other", "third"]
    assert picture.figure.get_suptitle() == "several models on digits and reviews, unstructured, l1"


@pytest.mark.parametrize("name", ["criteria", "fractions", "models"])
def test_one_alone_is_not_compared(name, make_curve):
    assert plots.get(name).draw(Results(curves=(make_curve(), make_curve(seed=1))), "left") == []
