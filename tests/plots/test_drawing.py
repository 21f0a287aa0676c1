"""What holds for every registered figure: it is drawn of small results, or says what it lacks."""

from __future__ import annotations

import logging
from dataclasses import replace
from io import BytesIO
from xml.etree import ElementTree

import matplotlib
import pytest
from PIL import Image

from prunebench.errors import ConfigError, DataError, UnknownName
from prunebench.plots.drawing import draw
from prunebench.plots.registry import plots
from prunebench.plots.style import styled
from prunebench.plots.themes import THEMES
from prunebench.records import METRICS
from prunebench.results.matrix_files import Results

SCALES_ARE_LINEAR = ("layers",)


def texts(figure):
    """Every text of a figure."""
    from matplotlib.text import Text

    return [text.get_text() for text in figure.findobj(Text)]


@pytest.mark.parametrize("name", plots.names())
def test_a_figure_is_drawn_with_a_title_and_words_at_both_axes(name, results, in_style):
    pictures = plots.get(name).draw(results, "left")
    assert pictures
    for picture in pictures:
        axes = picture.figure.axes[0]
        assert picture.name.startswith(name)
        assert picture.figure.get_suptitle()
        assert axes.get_xlabel()
        assert axes.get_ylabel()
        assert axes.get_xscale() == ("linear" if name in SCALES_ARE_LINEAR else "log")
        assert "left" in axes.get_xlabel() or "batch" in axes.get_xlabel()


@pytest.mark.parametrize("name", plots.names())
def test_a_figure_is_a_png_and_an_svg_the_same_every_time(name, results):
    found, again = list(draw(results, [name])), list(draw(results, [name]))
    assert found == again
    for drawn in found:
        with Image.open(BytesIO(drawn.files["png"])) as image:
            assert image.info["dpi"][0] == pytest.approx(150, abs=0.1)
            assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
            assert {"Software", "Creation Time"}.isdisjoint(image.info)
        ElementTree.fromstring(drawn.files["svg"])
        assert b"<dc:date>" not in drawn.files["svg"]


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("name", plots.names())
def test_everything_in_a_figure_can_be_read_on_light_and_on_dark_paper(name, theme, results, faint):
    with styled(theme):
        for picture in plots.get(name).draw(results, "left"):
            assert faint(picture.make()) == []


def test_pictures_for_dark_paper_are_called_so_and_the_others_are_as_they_were(results):
    plain = list(draw(results, ["parameters"]))
    both = list(draw(results, ["parameters"], themes=tuple(THEMES)))
    assert both[::2] == plain
    assert [drawn.name for drawn in both[1::2]] == [f"{drawn.name}-dark" for drawn in plain]
    assert list(draw(results, ["parameters"], themes=("dark",))) == both[1::2]
    (loss, dark) = draw(of_loss(results), ["fractions"], metric="loss", themes=tuple(THEMES))
    assert dark.name == f"{loss.name}-dark"
    assert loss.name.endswith("-loss")


@pytest.mark.parametrize("name", plots.names())
def test_a_figure_that_was_asked_for_and_lacks_something_says_what(name):
    with pytest.raises(DataError) as error:
        list(draw(Results(), [name]))
    assert name in str(error.value)
    assert f"it needs {plots.get(name).needs}" in str(error.value)
    assert "0 curves" in str(error.value)


@pytest.mark.parametrize("name", plots.names())
def test_no_legend_and_no_word_is_cut_off_or_lies_over_the_data(name, results, in_style):
    for picture in plots.get(name).draw(results, "left"):
        figure = picture.figure
        figure.draw_without_rendering()
        whole = figure.bbox
        for text in (*figure.axes[0].get_xticklabels(), *figure.axes[0].get_yticklabels(), *figure.texts):
            box = text.get_window_extent()
            assert not text.get_text() or (box.x0 >= whole.x0 - 1 and box.x1 <= whole.x1 + 1)
        for legend in figure.legends:
            box = legend.get_window_extent()
            assert whole.x0 <= box.x0
            assert box.x1 <= whole.x1
            assert whole.y0 <= box.y0
            assert not box.overlaps(figure.axes[0].get_window_extent())


def names_of(results):
    """What all pictures of results are called."""
    return [picture.name for name in plots.names() for picture in plots.get(name).draw(results, "left")]


def test_names_of_pictures_differ_and_do_not_depend_on_what_else_is_drawn(results, in_style):
    names = names_of(results)
    assert len(set(names)) == len(names)
    assert set(names_of(replace(results, curves=results.curves[:3]))) <= set(names)
    assert "accuracy-net-digits-unstructured" in names


LOSS = METRICS["loss"]


def of_loss(results):
    """Results whose curves are of a loss."""
    return replace(results, curves=tuple(replace(curve, metric=LOSS) for curve in results.curves))


def test_with_a_metric_every_figure_that_shows_one_is_drawn_and_its_files_are_named_after_it(results):
    plain = [drawn.name for drawn in draw(results) if plots.get(drawn.figure).scored]
    found = list(draw(of_loss(results), metric="loss"))
    assert {drawn.figure for drawn in found} == {name for name in plots.names() if plots.get(name).scored}
    assert [drawn.name for drawn in found] == [f"{name}-loss" for name in plain]


def test_a_figure_that_shows_no_metric_is_drawn_where_it_is_named_and_keeps_its_name(results):
    plain = list(draw(results, ["parameters"]))
    assert list(draw(of_loss(results), ["parameters"], metric="loss")) == plain


@pytest.mark.parametrize("name", [name for name in plots.names() if plots.get(name).scored])
def test_the_axis_of_a_metric_is_in_its_own_unit_and_goes_as_far_as_it_does(name, results, in_style):
    curves = [replace(curve, after=tuple(3 * y for y in curve.after)) for curve in of_loss(results).curves]
    for picture in plots.get(name).draw(Results(curves=tuple(curves)), "left"):
        axes = picture.figure.axes[0]
        assert axes.get_ylabel() == "test cross-entropy, nats"
        assert axes.get_ylim()[1] > 1.7
        assert "accuracy" not in picture.figure.get_suptitle().lower()


def test_without_names_every_figure_is_drawn_that_the_results_allow(results):
    assert {drawn.figure for drawn in draw(results)} == set(plots.names())
    assert {drawn.figure for drawn in draw(Results(counts=results.counts))} == {"parameters"}


@pytest.mark.parametrize(
    "name", ["a$b$_{2}", "_hidden", "<b>&amp;", "100%", "x\ny", "net.py:build_it", "../../evil", "$"]
)
def test_names_are_shown_as_they_are_and_lead_nowhere(name, make_curve, in_style):
    curves = tuple(make_curve(model=name, variant=other) for other in (name, "plain"))
    (picture,) = plots.get("accuracy").draw(Results(curves=curves), "left")
    shown = " ".join(text for label in texts(picture.figure) for text in label.split("\n"))
    assert f"variant={' '.join(name.split())}" in shown
    assert set(picture.name).isdisjoint("/\\:\n<>$%")
    (drawn,) = draw(Results(curves=curves), ["accuracy"])
    ElementTree.fromstring(drawn.files["svg"])


def test_global_settings_of_matplotlib_stay_as_they_are_and_change_nothing(results):
    (plain,) = draw(results, ["parameters"])
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "black", "svg.hashsalt": "mine"}):
        before = dict(matplotlib.rcParams)
        (drawn,) = draw(results, ["parameters"])
        assert dict(matplotlib.rcParams) == before
    assert drawn == plain


def test_an_axis_that_no_curve_has_is_an_error_that_tells_which_there_are(results):
    for axis, said in (("macs", "no curve has 'macs'"), ("latency@2", "no curve has"), ("x", "there is no axis 'x'")):
        with pytest.raises(ConfigError, match=said) as error:
            list(draw(results, axis=axis))
        assert "left, params, latency@1, latency@4" in str(error.value)


def test_an_axis_along_which_nothing_was_removed_is_told(make_curve, caplog, results):
    flat = replace(make_curve(), axes={"left": (1.0, 0.5, 0.25), "macs": (1.0, 1.0, 1.0)})
    only = Results(curves=(flat,), counts=results.counts)
    with caplog.at_level(logging.WARNING, "prunebench"):
        assert {drawn.figure for drawn in draw(only, axis="macs")} == {"parameters"}
    assert caplog.messages == ["No accuracy is drawn over macs: along it nothing was removed."]
    with pytest.raises(DataError, match="over 'macs'"):
        list(draw(only, ["accuracy"], "macs"))


def test_nothing_to_draw_and_unknown_figures_are_errors(make_curve):
    with pytest.raises(DataError, match="Nothing can be drawn of 0 curves"):
        list(draw(Results()))
    with pytest.raises(DataError, match="Nothing can be drawn of 1 curve"):
        list(draw(Results(curves=(make_curve(method="none", left=(1.0, 1.0)),))))
    with pytest.raises(UnknownName, match="Did you mean 'pareto'"):
        list(draw(Results(), ["paretto"]))
