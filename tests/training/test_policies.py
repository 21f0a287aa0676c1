"""Every way of retraining tells by what it asks for which settings it uses, and chooses its recipe by them."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from prunebench import RunConfig
from prunebench.experiment.resolve import resolve
from prunebench.training.policies import dense_recipe, from_epoch, policies, tuned_recipe, up_to_epoch

USES = {
    "distil": ("distil_temperature", "distil_weight"),
    "lr-rewind": ("rewind_epoch",),
    "weight-rewind": ("rewind_epoch",),
    "bn-reestimate": ("bn_samples",),
}
TUNES = {"finetune", "distil", "bias-only"}


@pytest.fixture(scope="module")
def settings():
    about = {"epochs": 10, "schedule": "cosine", "lr": 0.5, "batch_size": 8, "freeze": True, "gamma": 0.7}
    return resolve(RunConfig(model="resnet18", finetune_warmup=0.25, finetune_epochs=3, **about)).settings


@pytest.mark.parametrize("name", policies.names())
def test_a_way_of_retraining_uses_what_its_functions_ask_for(name):
    policy = policies.get(name)
    assert policy.name == name
    assert policy.uses == USES.get(name, ())
    assert policy.tunes(10) == (name in TUNES)
    assert policy.tunes(0) == (name in TUNES or name == "weight-rewind")
    assert policy.asks("teacher") == (name == "distil")


def test_recipes_are_the_dense_trainings_or_that_of_fine_tuning(settings):
    dense, tuned = dense_recipe(settings), tuned_recipe(settings)
    assert (dense.epochs, dense.lr, dense.batch_size, dense.freeze, dense.warmup) == (10, 0.5, 8, True, 0.0)
    assert (tuned.epochs, tuned.schedule, tuned.freeze, tuned.warmup, tuned.gamma) == (3, "cosine", False, 0.25, 0.7)
    expected = {
        "scratch": dense,
        "lr-rewind": replace(dense, before=0),
        "weight-rewind": replace(dense, before=0),
        "none": replace(tuned, epochs=0),
        "bn-reestimate": replace(tuned, epochs=0),
    }
    for name in policies.names():
        assert policies.get(name).recipe_of(settings) == expected.get(name, tuned)


@pytest.mark.parametrize(("samples", "epochs"), [(1, 30), (8, 30), (9, 15), (80, 3), (121, 3), (10_000, 3)])
def test_of_little_data_a_step_is_fine_tuned_for_as_many_epochs_as_its_updates_take(samples, epochs):
    settings = resolve(
        RunConfig(model="resnet18", batch_size=8, finetune_batch_size=8, finetune_epochs=3, finetune_updates=30)
    ).settings
    assert tuned_recipe(settings).over(samples) == replace(tuned_recipe(settings), epochs=epochs, updates=0)
    assert dense_recipe(settings).over(samples) == dense_recipe(settings)


def test_a_recipe_of_no_epochs_has_none_however_many_updates_are_asked_for(settings):
    assert replace(tuned_recipe(settings), epochs=0, updates=30).over(8).epochs == 0


def test_parts_of_a_training_have_its_schedule(settings):
    dense, batches = dense_recipe(settings), 7
    whole = [dense.done(epoch, batch, batches) for epoch in range(10) for batch in range(batches)]
    first, rest = up_to_epoch(dense, 4), from_epoch(dense, 4)
    parts = [(part, epoch) for part in (first, rest) for epoch in range(part.epochs)]
    assert [part.done(epoch, batch, batches) for part, epoch in parts for batch in range(batches)] == whole
    rewound = msgspec.structs.replace(settings, retrain="lr-rewind", rewind_epoch=4)
    assert policies.get("lr-rewind").recipe_of(rewound) == rest
