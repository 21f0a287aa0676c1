"""Setup: an experiment's settings reach training, pruning and evaluation unchanged."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from PIL import Image
from torch import nn

from prunebench import RunConfig, prune, pruning_run
from prunebench.data import survey
from prunebench.errors import ConfigError, DeviceError, ModelError, Stopped
from prunebench.experiment.resolve import resolve
from prunebench.experiment.setup import set_up
from prunebench.models.taken_over import copied
from prunebench.training.state import StepState


@pytest.fixture
def setup(tiny_config):
    """Makes the setup of a tiny run."""
    return lambda **changes: set_up(resolve(tiny_config(**changes)))


def flat(classes):
    """A model with batch norm over single values."""
    return nn.Sequential(nn.Flatten(), nn.Linear(432, 4), nn.BatchNorm1d(4), nn.Linear(4, classes))


@pytest.mark.parametrize("few", [{"batch_size": 1}, {"limit_train": 1, "train_eval": 1}])
def test_batches_of_one_sample_that_batch_norm_cannot_train_on_are_refused_before_the_training(setup, few):
    with pytest.raises(ConfigError, match=r"one sample, on which batch norm cannot train: give a larger --batch-size"):
        setup(model=flat, **few).fresh()
    assert not setup(model=flat, epochs=0, **few).fresh().masks
    assert not setup(**few).fresh().masks  # over all pixels of a channel there are several values


def test_batches_of_one_sample_in_fine_tuning_are_refused_before_the_training(tiny_config):
    config = tiny_config(model=flat, finetune_batch_size=1)
    seen = []
    with pytest.raises(ConfigError, match="give a larger --finetune-batch-size"):
        next(prune(config, pruning_run(config), seen.append))
    assert not seen


def test_recipes_of_training_and_fine_tuning_have_their_own_fields(setup):
    made = setup(
        freeze=True,
        weight_decay=0.1,
        clip_norm=2.0,
        momentum=0.5,
        gamma=0.7,
        optimizer="adam",
        schedule="exponential",
        finetune_epochs=4,
        finetune_lr=0.02,
        finetune_optimizer="sgd",
        finetune_schedule="constant",
        finetune_batch_size=5,
    )
    dense, tuning = made.recipe(), made.retraining()
    assert (dense.epochs, dense.lr, dense.optimizer, dense.schedule, dense.batch_size) == (
        2,
        0.01,
        "adam",
        "exponential",
        16,
    )
    assert (tuning.epochs, tuning.lr, tuning.optimizer, tuning.schedule, tuning.batch_size) == (
        4,
        0.02,
        "sgd",
        "constant",
        5,
    )
    assert dense.freeze
    assert not tuning.freeze
    for recipe in (dense, tuning):
        assert (recipe.weight_decay, recipe.clip_norm, recipe.momentum, recipe.gamma) == (0.1, 2.0, 0.5, 0.7)


def test_fine_tuning_has_a_momentum_decay_and_clipping_of_its_own_where_they_are_given(setup):
    trained = {"weight_decay": 0.1, "clip_norm": 2.0, "momentum": 0.5}
    made = setup(**trained, finetune_momentum=0.0, finetune_weight_decay=0.0, finetune_clip_norm=0.25)
    dense, tuning = made.recipe(), made.retraining()
    assert (dense.weight_decay, dense.clip_norm, dense.momentum) == (0.1, 2.0, 0.5)
    assert (tuning.weight_decay, tuning.clip_norm, tuning.momentum) == (0.0, 0.25, 0.0)
    tuning = setup(**trained, finetune_momentum=0.9).retraining()
    assert (tuning.weight_decay, tuning.clip_norm, tuning.momentum) == (0.1, 2.0, 0.9)


def test_a_request_holds_the_settings_and_a_seed_of_its_own_for_every_step(setup):
    made = setup(method="unstructured", scope="layerwise", targets="all", include=("features",), exclude=("*.0",))
    first, second = made.request(1), made.request(2)
    assert (first.fraction, first.scope, first.targets) == (0.3, "layerwise", "all")
    assert (first.include, first.exclude) == (("features",), ("*.0",))
    assert first.task is made.task
    assert first.seed == made.request(1).seed != second.seed


def test_a_request_tells_the_step_the_multiple_and_what_can_be_removed(setup):
    asked = setup(round_to=4).request(3)
    assert (asked.scope, asked.targets) == (None, "weights")  # which structured pruning does not ask for
    assert (asked.step, asked.round_to) == (3, 4)
    assert {group.modules[0]: group.units for group in asked.removable.groups} == {
        "features.0": 8,
        "features.4": 12,
        "classifier.1": 16,
    }
    assert setup(method="none").request(2).removable is None


def test_validation_accuracy_is_over_all_that_is_held_out(setup):
    made = setup(validation=0.3)
    assert made.validation(made.fresh()).total == 18
    assert [found.total for found in made.scores(made.fresh())] == [25, 43]
    assert setup().validation(setup().fresh()) is None


def test_accuracy_is_over_all_test_and_training_samples_or_a_fixed_number_of_the_latter(setup):
    assert [found.total for found in setup().scores(setup().fresh())] == [25, 61]
    assert [found.total for found in setup(train_eval=30).scores(setup().fresh())] == [25, 30]


def test_fresh_weights_are_decided_by_the_seed_and_not_by_what_was_drawn_before(setup):
    def weight(seed):
        torch.rand(seed + 1)
        return setup(seed=seed).fresh().model.features[0].weight

    assert torch.equal(weight(3), weight(3))
    assert not torch.equal(weight(3), weight(4))


def test_models_are_placed_in_the_memory_format_of_the_config(setup):
    made = setup(memory_format="channels_last")
    state = made.fresh()
    made.place(state.model)
    assert state.model.features[0].weight.is_contiguous(memory_format=torch.channels_last)
    images, _ = next(iter(made.task.batches("train", [torch.arange(4)], made.device)))
    assert images.is_contiguous(memory_format=torch.channels_last)


def test_a_model_that_answers_with_another_number_of_classes_is_refused_before_it_is_trained(tiny_net, blobs):
    def four_classes():
        return tiny_net(4)

    with pytest.raises(ModelError, match="3 classes need"):
        set_up(resolve(RunConfig(model=four_classes, dataset=blobs, image_size=12))).fresh()


@pytest.mark.parametrize("phase", ["train", "finetune", "evaluation"])
@pytest.mark.parametrize("how", ["as CUDA says it", "really"])
def test_a_batch_too_large_for_memory_is_told_with_its_size_and_what_to_try(how, phase, setup):
    made = setup(batch_size=40, finetune_batch_size=20)
    state = made.fresh()

    def need_more(module, inputs):
        if how == "really":
            torch.empty(2**50)
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    state.model.register_forward_pre_hook(need_more)
    size, option = (20, "--finetune-batch-size 10") if phase == "finetune" else (40, "--batch-size 20")
    work = {
        "train": lambda: made.fit(StepState(0, state)),
        "finetune": lambda: made.fit(StepState(1, state)),
        "evaluation": lambda: made.scores(state),
    }
    with pytest.raises(DeviceError, match=f"ran out of memory with batches of {size} samples.* Try {option}"):
        work[phase]()


def test_a_step_is_fitted_by_the_recipe_of_its_phase_and_named_by_it(setup):
    ticks = []
    made = replace(setup(finetune_epochs=3), progress=ticks.append)
    states = [made.fit(StepState(step, made.fresh())) for step in (0, 2)]
    assert [(state.at, state.mean_loss is None) for state in states] == [((0, 2, 0), False), ((2, 3, 0), False)]
    assert {(tick.phase, tick.step, tick.epochs) for tick in ticks} == {("train", 0, 2), ("finetune", 2, 3)}


def test_what_is_watched_before_a_pruning_is_an_epoch_of_fine_tuning_and_pruned_weights_stay_zero_in_it(setup):
    ticks = []
    made = replace(setup(method="unstructured", finetune_epochs=3), progress=ticks.append)
    state = made.fresh()
    masks = made.experiment.method.prune(state.model, {}, made.request(1)).masks
    learner, before = copied(state.model), state.model.get_parameter("classifier.1.weight").detach().clone()
    made.request(2, replace(state, masks=masks)).finetune(learner)
    assert {(tick.phase, tick.step, tick.epochs) for tick in ticks} == {("movement", 2, 1)}
    after = learner.get_parameter("classifier.1.weight")
    assert not torch.equal(after, before)
    assert all(learner.get_parameter(name)[~mask].eq(0).all() for name, mask in masks.items())


def test_a_stop_reaches_training_and_evaluation(setup):
    made = replace(setup(), stop=lambda: True)
    watched = lambda state: made.request(1, state).finetune(state.model)  # noqa: E731
    for work in (made.scores, lambda state: made.fit(StepState(0, state)), watched):
        with pytest.raises(Stopped):
            work(made.fresh())


def test_the_check_of_images_is_progress_and_can_be_stopped(tiny_config, tiny_net, tmp_path, monkeypatch):
    monkeypatch.setattr(survey, "SECONDS_BETWEEN_TOLD", 0)
    for place in ("train/a", "train/b", "test/a", "test/b"):
        (tmp_path / place).mkdir(parents=True)
        for index in range(20):
            Image.new("L", (12, 12)).save(tmp_path / place / f"{index}.png")
    about = {"dataset": "image-folder", "data_dir": str(tmp_path), "workers": 0}
    ticks = []
    with pytest.raises(Stopped, match="Stopped after 64 of 80 images were checked"):
        set_up(resolve(tiny_config(**about)), None, ticks.append, lambda: len(ticks) == 2)
    assert [(tick.phase, tick.batch, tick.batches) for tick in ticks] == [
        ("check images", 32, 80),
        ("check images", 64, 80),
    ]


@pytest.mark.parametrize(("dtype", "computes"), [("bf16", False), ("bf16", True), ("bf16", None), ("fp32", False)])
def test_bf16_is_told_to_take_longer_where_the_cpu_has_none(dtype, computes, setup, monkeypatch, caplog):
    monkeypatch.setattr("prunebench.experiment.setup.computes_bf16", lambda: computes)
    setup(dtype=dtype, device="cpu")
    told = any("does not compute in bf16" in record.message for record in caplog.records)
    assert told == (dtype == "bf16" and computes is False)
