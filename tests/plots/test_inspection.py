"""The picture of an inspection shows each layer before and after, in the order of the model."""

from __future__ import annotations

import pytest

from prunebench.config import RunConfig
from prunebench.experiment.inspection import inspect
from prunebench.plots.inspection import picture
from prunebench.plots.style import render, styled


@pytest.mark.usefixtures("in_style")
def test_bars_are_as_long_as_layers_have_outputs_and_weights(faint):
    found = inspect(RunConfig(model="torchvision.models:squeezenet1_1", image_size=32, fraction=0.5))
    figure = picture(found)
    axes, weights = figure.axes
    before, after = axes.containers
    assert [bar.get_width() for bar in before] == [layer.shape_original[0] for layer in found.layers]
    assert [bar.get_width() for bar in after] == [layer.shape[0] for layer in found.layers]
    before, after = weights.containers
    assert [bar.get_width() for bar in before] == [layer.weights for layer in found.layers]
    assert [bar.get_width() for bar in after] == [layer.weights_left for layer in found.layers]
    assert axes.texts[0].get_text() == f"{found.layers[0].shape_original[0]} → {found.layers[0].shape[0]}"
    assert [label.get_text() for label in axes.get_yticklabels()] == [layer.name for layer in found.layers]
    assert axes.yaxis_inverted()
    assert f"{100 * found.macs_after / found.macs:.4g} %" in " ".join(figure.get_suptitle().split())
    assert faint(figure) == []
    with styled("dark"):
        assert faint(picture(found)) == []
    assert render(figure, "svg").startswith(b"<?xml")
