"""A grid tells scores and losses of layers by shares, with the samples and the interval."""

from __future__ import annotations

import msgspec
import pytest

from prunebench.records import Scores, SensitivityRecord
from prunebench.results.sensitivity import grid_of, scored, table


@pytest.fixture
def cells(make_cell):
    """Makes records of two layers by two shares."""
    scores = {("stem", 0.5): 80, ("stem", 0.1): 91, ("block.0.conv", 0.5): 20, ("block.0.conv", 0.1): 88}

    def make(metric="top1", part="train", dense=90.0):
        of_dense, units = Scores.of(**{metric: (dense, 100)}), {"units": 1000, "part": part}
        return [
            make_cell(
                layer=layer,
                share=share,
                left=round(1000 * (1 - share)),
                dense=of_dense,
                scores=Scores.of(**{metric: (score, 100)}),
                **units,
            )
            for (layer, share), score in scores.items()
        ]

    return make


def test_layers_keep_their_order_and_shares_ascend(cells):
    grid = grid_of(cells())
    assert (grid.layers, grid.shares) == (("stem", "block.0.conv"), (0.1, 0.5))
    assert grid.score("block.0.conv", 0.5) == 0.2
    assert grid.lost("block.0.conv", 0.5) == pytest.approx(0.7)
    assert grid.lost("stem", 0.1) == pytest.approx(-0.01)


def test_of_a_loss_more_is_worse(cells):
    assert grid_of(cells("loss", dense=10.0)).lost("stem", 0.5) == pytest.approx(0.7)
    assert "interval" not in scored(grid_of(cells("loss")))


def test_the_table_tells_scores_samples_and_intervals(cells):
    lines = table(grid_of(cells())).splitlines()
    assert lines[0].split("  ")[0] == "layer"
    assert lines[1].split() == ["stem", "channels", "1,000", "0.910", "0.800"]
    assert lines[2].split() == ["block.0.conv", "channels", "1,000", "0.880", "0.200"]
    assert "structured, l2" in lines[3]
    assert lines[4] == (
        "Unpruned 0.900 (95 % interval 0.826–0.945), on 100 samples of the training data, on which it was trained."
    )
    assert "0.155 wide at most" in lines[5]


def test_held_out_data_is_called_so(cells):
    assert scored(grid_of(cells(part="validation"))).endswith("100 samples held out of the training data")


def test_a_record_is_json_and_back(cells):
    (first, *_) = cells()
    assert msgspec.json.decode(msgspec.json.encode(first), type=SensitivityRecord) == first
