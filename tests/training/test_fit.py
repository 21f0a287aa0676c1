"""fit and evaluate: honest counts, reproducible weights, and masks that hold."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import prune as torch_prune

from prunebench import Dataset, Split
from prunebench.data.images import ImageTask
from prunebench.errors import ModelError, Stopped
from prunebench.models.architecture import Architecture
from prunebench.models.checkpoint import Checkpoint
from prunebench.models.input_spec import InputSpec
from prunebench.pruning.methods import unstructured
from prunebench.training import fit as training
from prunebench.training.dense_adam import DenseAdam, DenseAdamW
from prunebench.training.fit import Position, chunks, clip, evaluate, fit
from prunebench.training.optimizers import Recipe, make_optimizer, set_lr
from prunebench.training.state import StepState

CPU = torch.device("cpu")
HERE = Position(seed=0, phase="train", step=0)
RECIPE = Recipe(epochs=2, batch_size=16, optimizer="sgd", lr=0.05, schedule="constant")
VARIANTS = [
    {"optimizer": "sgd", "momentum": 0.0},
    {"optimizer": "sgd", "momentum": 0.9, "weight_decay": 0.01},
    {"optimizer": "sgd", "clip_norm": 0.1},
    {"optimizer": "adam", "lr": 0.01, "weight_decay": 0.1},
    {"optimizer": "adamw", "lr": 0.01, "weight_decay": 0.1, "clip_norm": 0.1},
]


def recipe(**changes):
    return Recipe(**{**{name: getattr(RECIPE, name) for name in RECIPE.__dataclass_fields__}, **changes})


def begin(model, masks=None, step=0):
    """A step whose fit has not begun."""
    architecture = Architecture("tiny", {"classes": 3}, InputSpec(kind="images", size=12))
    return StepState(step, Checkpoint(architecture, model, masks or {}))


def weights(model):
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


class Constant(nn.Module):
    """Answers with class 0, whatever it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.tensor([1.0, 0.0]))

    def forward(self, images):
        return self.bias.expand(len(images), 2)


@pytest.mark.parametrize("batch_size", [1, 4, 7, 100])
def test_accuracy_counts_correct_samples_over_samples_whatever_the_batches(batch_size):
    labels = np.array([0, 0, 0, 0, 0, 0, 0, 1, 1, 1])  # an average over batches of 4 would say 0.58
    split = Split(np.zeros((10, 4, 4), np.uint8), labels)
    task = ImageTask(Dataset(split, split, ["a", "b"]), 4)
    found = evaluate(Constant(), task, "test", torch.arange(10), batch_size=batch_size, device=CPU, dtype="fp32")
    assert (found.correct, found.total) == (7, 10)
    some = evaluate(Constant(), task, "test", torch.tensor([9, 0, 8]), batch_size=2, device=CPU, dtype="fp32")
    assert (some.correct, some.total) == (1, 3)


@pytest.mark.parametrize("batch_size", [1, 10, 61])
def test_loss_is_the_mean_over_samples_whatever_the_batches(batch_size, tiny_state, tiny_task):
    model = tiny_state().model
    found = evaluate(model, tiny_task, "train", torch.arange(61), batch_size=batch_size, device=CPU, dtype="fp32")
    images, labels = next(tiny_task.batches("train", [torch.arange(61)], CPU))
    with torch.no_grad():
        assert found["loss"] == pytest.approx(nn.functional.cross_entropy(model(images), labels).item(), rel=1e-5)
    assert (list(found.counted), found.total) == (["top1", "loss"], 61)


def test_of_many_classes_it_is_counted_whether_the_label_is_among_the_first_five():
    split = Split(np.zeros((12, 4, 4), np.uint8), np.arange(12))
    task = ImageTask(Dataset(split, split, [str(number) for number in range(12)]), 4)
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 12))
    with torch.no_grad():
        model[1].weight.zero_()
        model[1].bias.copy_(torch.arange(12.0))
    found = evaluate(model, task, "test", torch.arange(12), batch_size=5, device=CPU, dtype="fp32")
    assert (found.correct, found["top5"], found.main.name) == (1, pytest.approx(5 / 12), "top1")


def test_an_evaluation_can_be_watched_batch_by_batch(tiny_state, tiny_task):
    model, seen = tiny_state().model, []
    about = {"batch_size": 10, "device": CPU, "dtype": "fp32"}
    watched = evaluate(model, tiny_task, "test", torch.arange(25), watch=lambda *batch: seen.append(batch), **about)
    assert watched == evaluate(model, tiny_task, "test", torch.arange(25), **about)
    assert [(tuple(output.shape), len(target)) for output, target in seen] == [((n, 3), n) for n in (10, 10, 5)]
    assert sum(int((output.argmax(1) == target).sum()) for output, target in seen) == watched.correct


@pytest.mark.parametrize("most", [1e-3, 1.0, 1e6])
def test_gradients_are_clipped_as_pytorch_clips_them(most, tiny_state):
    models = [tiny_state().model for _ in range(2)]
    for model in models:
        for number, parameter in enumerate(model.parameters()):
            parameter.grad = torch.linspace(-1, 1, parameter.numel()).reshape(parameter.shape) / (number + 1)
    clip(models[0], most)
    torch.nn.utils.clip_grad_norm_(models[1].parameters(), most)
    for ours, theirs in zip(*(model.parameters() for model in models), strict=True):
        assert torch.equal(ours.grad, theirs.grad)


def test_a_gradient_that_is_no_number_is_not_taken_for_a_small_one(tiny_state):
    model = tiny_state().model
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    next(model.parameters()).grad[0] = math.nan
    clip(model, 1.0)
    assert all(parameter.grad.isnan().all() for parameter in model.parameters())


def test_evaluation_changes_nothing(tiny_state, tiny_task):
    model = tiny_state().model.train()
    before = weights(model)
    evaluate(model, tiny_task, "train", torch.arange(61), batch_size=10, device=CPU, dtype="fp32")
    assert same(weights(model), before)


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp16"])
def test_training_learns(dtype, tiny_state, tiny_task):
    model = tiny_state().model
    loss = fit(begin(model), tiny_task, recipe(epochs=6, dtype=dtype), HERE, device=CPU).mean_loss
    found = evaluate(model, tiny_task, "test", torch.arange(25), batch_size=10, device=CPU, dtype=dtype)
    assert found.top1 > 0.9
    assert loss < 0.5
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())


def test_the_same_position_gives_bit_identical_weights_and_another_other_ones(tiny_state, tiny_task):
    def trained(noise=0, **position):
        model = tiny_state().model
        torch.manual_seed(noise)
        at = Position(**{"seed": 0, "phase": "train", "step": 0, **position})
        fit(begin(model), tiny_task, recipe(augment=True), at, device=CPU)
        return weights(model)

    first = trained()
    assert same(first, trained(noise=1))
    for other in ({"seed": 1}, {"phase": "finetune"}, {"step": 1}):
        assert not same(first, trained(**other))


def test_dropout_is_seeded_for_every_batch(tiny_state, tiny_task, monkeypatch):
    monkeypatch.setattr(training, "SECONDS_BETWEEN_TICKS", 0.0)
    ticks, results = [], []
    for disturb in (ticks.append, lambda tick: torch.rand(1)):
        model = tiny_state().model
        fit(begin(model), tiny_task, RECIPE, HERE, device=CPU, progress=disturb)
        results.append(weights(model))
    assert same(*results)
    assert [(tick.epoch, tick.batch) for tick in ticks] == [(e, b) for e in range(2) for b in range(1, 5)]
    assert all(tick.metric == "top1" and 0 <= tick.score <= 1 and math.isfinite(tick.loss) for tick in ticks)


@pytest.mark.parametrize("about", VARIANTS)
def test_masked_weights_are_exactly_zero_after_training(about, tiny_state, tiny_task, request_for):
    model = tiny_state().model
    masks = unstructured.prune(model, {}, request_for(tiny_task.inputs, 0.6, "l1", targets="all")).masks
    before = weights(model)
    fit(begin(model, masks), tiny_task, recipe(**about), HERE, device=CPU)
    for name, mask in masks.items():
        assert model.get_parameter(name)[~mask].eq(0).all()
    assert not torch.equal(model.features[0].weight, before["features.0.weight"])


@pytest.mark.parametrize("about", VARIANTS)
def test_training_with_masks_equals_training_with_those_of_torch(about, tiny_state, tiny_task, request_for):
    ours, theirs = tiny_state().model, tiny_state().model
    masks = unstructured.prune(ours, {}, request_for(tiny_task.inputs, 0.6, "l1")).masks
    for name, mask in masks.items():
        module, _, key = name.rpartition(".")
        torch_prune.custom_from_mask(theirs.get_submodule(module), key, mask)
    for model, own in ((ours, masks), (theirs, {})):
        fit(begin(model, own), tiny_task, recipe(**about), HERE, device=CPU)
    with torch.no_grad():
        theirs(tiny_task.inputs.example())  # computes weight from weight_orig and weight_mask
    for name in masks:
        module, _, key = name.rpartition(".")
        torch.testing.assert_close(ours.get_parameter(name), getattr(theirs.get_submodule(module), key))


def test_freezing_trains_the_classifier_alone(tiny_state, tiny_task):
    model = tiny_state().model
    before = weights(model)
    fit(begin(model), tiny_task, recipe(freeze=True), HERE, device=CPU)
    changed = {name for name, tensor in weights(model).items() if not torch.equal(tensor, before[name])}
    assert changed == {f"classifier.{layer}.{key}" for layer in (1, 3) for key in ("weight", "bias")}
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_freezing_a_model_of_one_part_is_refused(tiny_state, tiny_task):
    with pytest.raises(ModelError, match="--freeze"):
        fit(begin(nn.Sequential(tiny_state().model)), tiny_task, recipe(freeze=True), HERE, device=CPU)


def test_a_loss_that_is_no_number_is_told_with_what_to_do(tiny_state, tiny_task):
    with pytest.raises(ModelError, match="lower learning rate"):
        fit(begin(tiny_state().model), tiny_task, recipe(lr=1e30), HERE, device=CPU)


@pytest.mark.parametrize(("samples", "batch_size"), [(1, 8), (3, 1)])
def test_batch_norm_on_one_sample_is_told_with_what_to_do(samples, batch_size):
    split = Split(np.zeros((samples, 4, 4), np.uint8), np.zeros(samples, int))
    task = ImageTask(Dataset(split, split, ["a", "b"]), 4)
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    with pytest.raises(ModelError, match=r"cannot train on one sample: use a larger --batch-size or more data\."):
        fit(begin(model), task, recipe(batch_size=batch_size), HERE, device=CPU)


def test_another_error_of_a_model_stays_what_it_is(tiny_task):
    class Fails(nn.Linear):
        def forward(self, images):
            raise ValueError("more than I can bear")

    with pytest.raises(ValueError, match="more than I can bear"):
        fit(begin(Fails(1, 1)), tiny_task, RECIPE, HERE, device=CPU)


@pytest.mark.parametrize(("seconds", "count"), [(0.0, 3), (60.0, 0)])
def test_an_evaluation_tells_its_progress_only_where_it_is_slow(seconds, count, tiny_state, tiny_task, monkeypatch):
    monkeypatch.setattr(training, "SECONDS_BETWEEN_TICKS", seconds)
    ticks, about = [], {"batch_size": 10, "device": CPU, "dtype": "fp32"}
    found = evaluate(tiny_state().model, tiny_task, "test", torch.arange(25), progress=ticks.append, **about)
    assert [(tick.phase, tick.batch, tick.batches, tick.epochs) for tick in ticks] == [
        ("evaluate test", batch, 3, 1) for batch in range(1, count + 1)
    ]
    assert [tick.loss for tick in ticks] == [None] * count
    assert found == evaluate(tiny_state().model, tiny_task, "test", torch.arange(25), **about)
    if ticks:
        assert ticks[-1].metric == "top1"
        assert ticks[-1].score == pytest.approx(found.top1)


@pytest.mark.parametrize(("count", "sizes"), [(8, [4, 4]), (9, [4, 5]), (10, [4, 4, 2]), (1, [1]), (3, [3])])
def test_batches_cover_every_sample_and_none_but_an_only_one_has_a_single_sample(count, sizes):
    parts = chunks(torch.arange(count), 4)
    assert [len(part) for part in parts] == sizes
    assert torch.equal(torch.cat(parts), torch.arange(count))


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        ("constant", [1, 1, 1, 1]),
        ("cosine", [1, 0.5 + 0.5**1.5, 0.5, 0]),
        ("exponential", [1, 0.5, 0.25, 0.125]),
        ("one-cycle", [0.04, 1, 0.75, 0]),
    ],
)
def test_schedules(schedule, rates):
    model = nn.Linear(1, 1)
    about = recipe(schedule=schedule, lr=2.0, gamma=0.5)
    optimizer = make_optimizer(model, about)
    for epoch, (done, rate) in enumerate(zip([0, 0.25, 0.5, 1], rates, strict=True)):
        set_lr(optimizer, about, epoch, done)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(2 * rate)


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        ("constant", [0.04, 0.52, 1, 1, 1]),
        ("cosine", [0.04, 0.52, 1, 0.5, 0]),
        ("exponential", [0.04, 0.52 * 0.5, 0.25, 0.125, 0.0625]),
    ],
)
def test_a_warm_up_rises_in_a_line_and_the_schedule_has_the_rest(schedule, rates):
    about = recipe(schedule=schedule, lr=2.0, gamma=0.5, warmup=0.5)
    optimizer = make_optimizer(nn.Linear(1, 1), about)
    for epoch, (done, rate) in enumerate(zip([0, 0.25, 0.5, 0.75, 1], rates, strict=True)):
        set_lr(optimizer, about, epoch, done)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(2 * rate)


def test_cosine_after_a_quarter_of_warm_up_is_one_cycle():
    about = [recipe(schedule="one-cycle"), recipe(schedule="cosine", warmup=0.25)]
    optimizers = [make_optimizer(nn.Linear(1, 1), each) for each in about]
    for done in (0, 0.1, 0.25, 0.6, 0.99):
        rates = []
        for each, optimizer in zip(about, optimizers, strict=True):
            set_lr(optimizer, each, 0, done)
            rates.append(optimizer.param_groups[0]["lr"])
        assert rates[0] == pytest.approx(rates[1])


@pytest.mark.parametrize(("name", "kind"), [("sgd", torch.optim.SGD), ("adam", DenseAdam), ("adamw", DenseAdamW)])
def test_optimizers_are_what_they_are_called(name, kind):
    optimizer = make_optimizer(nn.Linear(1, 1), recipe(optimizer=name, weight_decay=0.3))
    assert type(optimizer) is kind
    assert optimizer.param_groups[0]["weight_decay"] == 0.3


@pytest.mark.parametrize("error", [Stopped, ModelError, MemoryError])
def test_what_was_frozen_is_thawed_when_training_ends_early(error, tiny_state, tiny_task):
    model = tiny_state().model

    def stop():
        if error is Stopped:
            return True
        raise error

    with pytest.raises(error):
        fit(begin(model), tiny_task, recipe(freeze=True), HERE, device=CPU, stop=stop)
    assert all(parameter.requires_grad for parameter in model.parameters())
