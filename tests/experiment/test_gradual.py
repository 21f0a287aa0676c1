"""Pruning towards a target: exact at every step, and gradual where the model trains on meanwhile."""

from __future__ import annotations

import re

import msgspec
import pytest

from prunebench import prune, pruning_run
from prunebench.errors import Stopped
from prunebench.experiment.resolve import resolve
from prunebench.experiment.setup import set_up
from prunebench.records import Seconds
from prunebench.training import fit as fits

WEIGHTS = 864 + 216 + 768 + 48
"""Of the tiny net, that are multiplied with data."""


def timeless(record):
    return msgspec.structs.replace(record, seconds=Seconds())


@pytest.mark.parametrize("schedule", ["geometric", "linear", "cubic", "cosine"])
def test_every_step_has_what_its_schedule_says_and_the_last_the_target(schedule, tiny_config):
    config = tiny_config(
        method="unstructured", fraction=None, sparsity=0.8, sparsity_schedule=schedule, finetune_epochs=0
    )
    _, *records = prune(config)
    assert records[-1].nominal_left == pytest.approx(0.2)
    for record in records:
        (unit,) = record.units
        assert unit.original - unit.left == round((1 - record.nominal_left) * WEIGHTS)
        assert record.fraction == pytest.approx(unit.achieved, abs=0.002)


def test_one_schedule_of_the_learning_rate_runs_over_all_steps(tiny_config, monkeypatch):
    setup = set_up(resolve(tiny_config(fraction=None, sparsity=0.5, every=2, iterations=3)))
    recipes = [setup.retraining(step) for step in (1, 2, 3)]
    assert [(recipe.before, recipe.epochs, recipe.after) for recipe in recipes] == [(0, 2, 4), (2, 2, 2), (4, 2, 0)]
    rates = [fits.Recipe.done(recipe, epoch, 0, 5) for recipe in recipes for epoch in range(2)]
    assert rates == pytest.approx([i / 6 for i in range(6)])


@pytest.mark.parametrize("method", ["structured", "unstructured"])
def test_a_gradual_run_that_is_stopped_goes_on_to_the_bit(method, tiny_config, tmp_path):
    config = tiny_config(method=method, fraction=None, sparsity=0.6, sparsity_schedule="cubic", every=2, iterations=2)
    expected = [timeless(record) for record in prune(config)]
    run, asked = pruning_run(config), iter([False] * 17 + [True])
    with pytest.raises(Stopped):
        list(prune(config, run, stop=lambda: next(asked)))
    found = [msgspec.structs.replace(timeless(record), run="") for record in prune(config, run)]
    assert found == expected


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"method": "unstructured", "pattern": "2:4"}, r"50 % of the weights were to be left, and 55\.7 % are"),
        ({"sparsity": 0.5, "floor": 0.9, "iterations": 1}, r"50 % of the units were to be left, and 9\d(\.\d)? % are"),
        ({"macs": 0.5, "scope": "global", "floor": 0.0, "iterations": 1}, None),
    ],
)
def test_where_more_or_less_is_left_than_was_to_be_that_is_told(about, message, tiny_config):
    config = tiny_config(**{"fraction": None, "iterations": None, "finetune_epochs": 0, "epochs": 1, **about})
    *_, last = prune(config)
    told = [note for note in last.notes if "were to be left" in note]
    assert len(told) == (message is not None)
    assert all(re.match(message, note) for note in told)
