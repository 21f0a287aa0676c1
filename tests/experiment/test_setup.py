"""Bench: a config's settings reach training, pruning and evaluation unchanged."""

from __future__ import annotations

import pytest
import torch

from prunebench import RunConfig
from prunebench.errors import DeviceError, ModelError
from prunebench.experiment.resolve import resolve
from prunebench.experiment.setup import Bench


@pytest.fixture
def bench(tiny_config):
    """Makes the bench of a tiny run."""
    return lambda **changes: Bench(resolve(tiny_config(**changes)), None)


def test_recipes_of_training_and_fine_tuning_have_their_own_fields(bench):
    made = bench(
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
    dense, tuning = made.recipe(), made.finetuning()
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


def test_a_request_holds_the_settings_and_a_seed_of_its_own_for_every_step(bench):
    made = bench(method="unstructured", scope="layerwise", targets="all", include=("features",), exclude=("*.0",))
    first, second = made.request(1), made.request(2)
    assert (first.fraction, first.scope, first.targets) == (0.3, "layerwise", "all")
    assert (first.include, first.exclude) == (("features",), ("*.0",))
    assert first.task is made.task
    assert first.seed == made.request(1).seed != second.seed


def test_a_request_tells_the_step_the_multiple_and_the_original_sizes(bench):
    asked = bench(round_to=4).request(3, {"features.0": 8})
    assert (asked.step, asked.round_to, asked.sizes) == (3, 4, {"features.0": 8})
    assert (bench().request(2).round_to, bench().request(2).sizes) == (1, {})


def test_validation_accuracy_is_over_all_that_is_held_out(bench):
    made = bench(validation=0.3)
    assert made.validation(made.fresh()).total == 18
    assert [found.total for found in made.accuracy(made.fresh())] == [25, 43]
    assert bench().validation(bench().fresh()) is None


def test_accuracy_is_over_all_test_and_training_samples_or_a_fixed_number_of_the_latter(bench):
    assert [found.total for found in bench().accuracy(bench().fresh())] == [25, 61]
    assert [found.total for found in bench(train_eval=30).accuracy(bench().fresh())] == [25, 30]


def test_fresh_weights_are_decided_by_the_seed_and_not_by_what_was_drawn_before(bench):
    def weight(seed):
        torch.rand(seed + 1)
        return bench(seed=seed).fresh().model.features[0].weight

    assert torch.equal(weight(3), weight(3))
    assert not torch.equal(weight(3), weight(4))


def test_models_are_placed_in_the_memory_format_of_the_config(bench):
    made = bench(memory_format="channels_last")
    state = made.fresh()
    made.place(state.model)
    assert state.model.features[0].weight.is_contiguous(memory_format=torch.channels_last)
    images, _ = next(iter(made.task.batches("train", [torch.arange(4)], made.device)))
    assert images.is_contiguous(memory_format=torch.channels_last)


def test_a_model_that_answers_with_another_number_of_classes_is_refused_before_it_is_trained(tiny_net, blobs):
    def four_classes():
        return tiny_net(4)

    with pytest.raises(ModelError, match="3 classes need"):
        Bench(resolve(RunConfig(model=four_classes, dataset=blobs, image_size=12)), None).fresh()


@pytest.mark.parametrize("phase", ["train", "finetune", "evaluation"])
@pytest.mark.parametrize("how", ["as CUDA says it", "really"])
def test_a_batch_too_large_for_memory_is_told_with_its_size_and_what_to_try(how, phase, bench):
    made = bench(batch_size=40, finetune_batch_size=20)
    state = made.fresh()

    def need_more(module, inputs):
        if how == "really":
            torch.empty(2**50)
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    state.model.register_forward_pre_hook(need_more)
    size, option = (20, "--finetune-batch-size 10") if phase == "finetune" else (40, "--batch-size 20")
    work = {
        "train": lambda: made.fit(state, made.recipe(), "train", 0),
        "finetune": lambda: made.fit(state, made.finetuning(), "finetune", 1),
        "evaluation": lambda: made.accuracy(state),
    }
    with pytest.raises(DeviceError, match=f"ran out of memory with batches of {size} samples.* Try {option}"):
        work[phase]()
