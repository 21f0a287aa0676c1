"""The heat map has a row per layer, a column per share, and a number in each cell."""

from __future__ import annotations

import pytest
from matplotlib.colors import to_rgba

from prunebench.plots.sensitivity import LEAST, picture
from prunebench.plots.style import METADATA, render, styled
from prunebench.plots.themes import THEMES
from prunebench.records import Scores
from prunebench.results.sensitivity import grid_of

SHARES = (0.1, 0.5, 0.9)


@pytest.fixture
def grid(make_cell):
    """Makes the grid of some layers, the worst cell of which has a score."""

    def make(layers=("conv1", "layer1.0.conv1"), kind="channels", worst=0.1):
        def scored(share):
            return Scores.of(top1=(90 - 100 * (0.9 - worst) * share / 0.9, 100))

        return grid_of(
            [
                make_cell(layer=layer, kind=kind, share=share, units=10, left=5, scores=scored(share))
                for layer in layers
                for share in SHARES
            ]
        )

    return make


@pytest.mark.usefixtures("in_style")
def test_cells_show_scores_and_are_the_further_from_paper_the_more_is_lost(grid):
    figure = picture(grid())
    axes, bar = figure.axes
    (image,) = axes.images
    assert image.get_array().shape == (2, 3)
    assert image.get_array()[0].tolist() == pytest.approx([0.8 * share / 0.9 for share in SHARES])
    assert image.get_clim() == pytest.approx((0, 0.8))
    assert [text.get_text() for text in axes.texts[:3]] == ["0.811", "0.456", "0.100"]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["conv1", "layer1.0.conv1"]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["10 %", "50 %", "90 %"]
    assert "100 samples" in " ".join(axes.get_xlabel().split())
    assert bar.get_ylabel() == "accuracy lost"


@pytest.mark.parametrize("theme", THEMES)
def test_every_number_can_be_read_in_its_cell(theme, grid, faint):
    with styled(theme):
        figure = picture(grid())
        assert figure.axes[0].images[0].cmap(0.0) == pytest.approx(to_rgba(THEMES[theme].paper))
        assert faint(figure) == []


@pytest.mark.usefixtures("in_style")
def test_what_may_be_chance_stays_light(grid):
    assert picture(grid(worst=0.895)).axes[0].images[0].get_clim() == (0, LEAST)


@pytest.mark.usefixtures("in_style")
def test_it_grows_with_layers_and_their_names(grid):
    small, tall = picture(grid()), picture(grid([f"layer{i}" for i in range(60)], "weights"))
    wide = picture(grid(["vit.encoder.layers.encoder_layer_11.self_attention.in_proj_weight"]))
    assert tall.get_size_inches()[1] > 10 > small.get_size_inches()[1]
    assert wide.get_size_inches()[0] > small.get_size_inches()[0]
    assert (tall.axes[0].get_ylabel(), small.axes[0].get_ylabel()) == ("layer", "first layer of the group")


@pytest.mark.usefixtures("in_style")
@pytest.mark.parametrize("kind", METADATA)
def test_it_is_the_same_bytes_every_time(kind, grid):
    assert render(picture(grid()), kind) == render(picture(grid()), kind)
