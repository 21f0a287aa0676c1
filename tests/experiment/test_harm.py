"""What fine-tuning itself takes is told: by the samples that it trains on, and by a run of which nothing goes."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from prunebench.config import NOT_GIVEN
from prunebench.errors import Stopped
from prunebench.experiment.controls import without_removal
from prunebench.experiment.harm import fine_tunes, of_control, of_training
from prunebench.experiment.loop import prune
from prunebench.experiment.resolve import resolve


def answers(right, of=200):
    """So many of the first answers are right."""
    return {"train": torch.arange(of) < right}


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (answers(190), answers(160), "95.0 % were answered rightly before, and 80.0 % after"),
        (answers(190), answers(188), ""),  # by chance
        (answers(160), answers(190), ""),
        ({"train": torch.arange(9000) < 8900}, {"train": torch.arange(9000) < 8850}, ""),  # half a percent
        ({}, answers(9), ""),
    ],
)
def test_harm_is_told_where_answers_to_what_is_trained_on_are_lost_beyond_chance(before, after, told):
    found = of_training(before, after)
    assert told in found
    assert bool(found) == bool(told)
    assert not found or found.endswith("may do less")


HARMFUL = {"epochs": 6, "lr": 0.01, "iterations": 1, "limit_train": 300, "finetune_epochs": 1}


def test_a_run_tells_that_its_fine_tuning_does_harm_and_so_does_the_next_one(tiny_config, tmp_path, caplog):
    experiment = resolve(tiny_config(**HARMFUL, finetune_lr=3.0, runs_dir=str(tmp_path)))
    control = without_removal(experiment)
    with caplog.at_level(logging.WARNING):
        *_, record = prune(control, control.run)
    assert any(note.startswith("fine-tuning did harm: of the samples that it trains on") for note in record.notes)
    assert "step 1: fine-tuning did harm" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        next(iter(prune(experiment, experiment.run)))
    assert f"in run {control.run.key}, of which nothing is removed" in caplog.text
    assert of_control(control) == ""


def test_a_step_that_was_stopped_tells_of_harm_as_one_that_was_not(tiny_config, tmp_path):
    experiment = resolve(tiny_config(**HARMFUL | {"finetune_epochs": 3}, finetune_lr=3.0, runs_dir=str(tmp_path)))
    control = without_removal(experiment)
    *_, whole = prune(control)
    seen = []
    with pytest.raises(Stopped):
        list(prune(control, control.run, seen.append, lambda: (seen[-1].phase, seen[-1].epoch) == ("finetune", 1)))
    assert control.run.progress() is not None
    *_, record = prune(control, control.run)
    assert record.notes == whole.notes
    assert any("harm" in note for note in whole.notes)
    assert "right.safetensors" not in {Path(name).name for name in control.run.files()}


@pytest.mark.parametrize(("retrain", "tunes"), [("finetune", True), ("lr-rewind", False), ("scratch", False)])
def test_harm_is_told_of_what_settings_of_fine_tuning_decide(retrain, tunes, tiny_config):
    usual = dict.fromkeys(("finetune_epochs", "finetune_batch_size"), NOT_GIVEN)
    assert fine_tunes(resolve(tiny_config(retrain=retrain, **usual))) is tunes


def test_fine_tuning_that_does_none_is_told_nothing_of(tiny_config, tmp_path, caplog):
    experiment = resolve(tiny_config(**HARMFUL, finetune_lr=1e-4, runs_dir=str(tmp_path)))
    control = without_removal(experiment)
    with caplog.at_level(logging.WARNING):
        *_, record = prune(control, control.run)
    assert not any("harm" in note for note in record.notes)
    assert of_control(experiment) == ""
    assert "harm" not in caplog.text
