"""Every way of retraining goes on to the bit where it was stopped, and starts from what it says."""

from __future__ import annotations

import re
import shutil

import msgspec
import pytest
import torch

from prunebench import RunConfig, dense_run, prune, pruning_run, train
from prunebench.errors import ConfigError, Stopped
from prunebench.experiment import setup as setups
from prunebench.experiment.resolve import resolve
from prunebench.models import checkpoint
from prunebench.models.architecture import models
from prunebench.pruning.registry import methods
from prunebench.records import Seconds
from prunebench.seeding import seed_all
from prunebench.training import fit as fits
from prunebench.training import state as states
from prunebench.training.policies import policies
from prunebench.training.retraining.bias_only import is_bias

METHODS = methods.names()
GIVEN = {
    "lr-rewind": {"rewind_epoch": 1},
    "weight-rewind": {"rewind_epoch": 1},
    "distil": {"distil_weight": 0.5},
    "bn-reestimate": {"bn_samples": 20},
}
SEEN = {"scratch": 2 * 61, "bn-reestimate": 20, "none": 0}
"""Samples that a step trains on, of 61; of the others each once."""


NET = """
import numpy as np
from prunebench import Dataset, Split
from torch import nn


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)

    def forward(self, images):
        return images + self.norm(self.conv(images).relu())


def build(classes):
    blocks = [Residual() for _ in range(3)]
    ends = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(8, classes)
    return nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), *blocks, *ends)


def load():
    draw, parts = np.random.default_rng(0), []
    for count in (61, 25):
        images, labels = draw.integers(0, 255, (count, 12, 12)), np.arange(count) % 3
        parts.append(Split(images.astype(np.uint8), labels))
    return Dataset(*parts, ["a", "b", "c"])
"""
"""A file that imports nothing but what prunebench does, whose versions are told at once."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The config of a run whose dense run is finished."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "net.py").write_text(NET, encoding="utf-8")
    own = {name: f"{folder / 'net.py'}:{function}" for name, function in (("model", "build"), ("dataset", "load"))}
    about = {"epochs": 2, "batch_size": 16, "lr": 0.01, "iterations": 2, "fraction": 0.4, "augment": True}
    about["finetune_epochs"] = 1
    config = RunConfig(**own, **about, image_size=12, device="cpu", runs_dir=str(folder / "runs"))
    train(config, dense_run(config))
    return config


@pytest.fixture
def config(trained, tmp_path):
    """Makes the config of a run in a folder of its own, where its dense run is there already."""

    def make(folder, **changes):
        if not (tmp_path / folder).exists():
            shutil.copytree(trained.runs_dir, tmp_path / folder)
        return msgspec.structs.replace(trained, runs_dir=str(tmp_path / folder), **changes)

    return make


def timeless(records):
    return [msgspec.structs.replace(record, seconds=Seconds(), run="") for record in records]


def files(run):
    found = [path for path in run.folder.glob("steps/*/*") if path.name != "record.json"]
    return {str(path.relative_to(run.folder)): path.read_bytes() for path in found}


def values(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@pytest.fixture
def started(monkeypatch):
    """Of every step that is retrained, and has not begun, the model and its masks as its training starts."""
    found, fit = {}, setups.fit

    def watched(state, task, recipe, position, **about):
        if position.phase == "finetune" and state.at == (state.step, 0, 0):
            found[state.step] = values(state.checkpoint.model), state.checkpoint
        return fit(state, task, recipe, position, **about)

    monkeypatch.setattr(setups, "fit", watched)
    return found


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", policies.names())
def test_a_run_stopped_inside_its_retraining_equals_one_that_never_stopped(name, method, config, monkeypatch):
    monkeypatch.setattr(fits, "SECONDS_BETWEEN_TICKS", 0.0)  # a tick for every batch
    about = {"method": method, "retrain": name, **GIVEN.get(name, {})}
    whole, half, last = config("whole", **about), config("half", **about), []
    expected, run = list(prune(whole, pruning_run(whole))), pruning_run(half)

    def stop():
        return bool(last) and last[-1].phase in ("finetune", "statistics") and (last[-1].step, last[-1].batch) == (2, 1)

    if name != "none":
        with pytest.raises(Stopped):
            list(prune(half, run, last.append, stop))
        assert run.steps() == [0, 1]
    assert timeless(prune(half, run)) == timeless(expected)
    assert files(run) == files(pruning_run(whole))
    assert [record.samples_seen for record in expected] == [2 * 61, *[SEEN.get(name, 61)] * 2]
    found = resolved(run)
    assert all(found.model.get_parameter(key)[~mask].eq(0).all() for key, mask in found.masks.items())
    assert bool(found.masks) == (method == "unstructured")
    assert bool(found.kept) == (method == "structured")


def resolved(run, step=2):
    """The checkpoint of a step, whose model's file is the test's own."""
    return checkpoint.load(run.checkpoint(step), models.get(run.manifest.config["model"]))


@pytest.mark.parametrize("name", ["weight-rewind", "distil", "scratch"])
def test_in_memory_everything_is_the_same(name, config):
    about = config("runs", method="unstructured", retrain=name, iterations=1, **GIVEN.get(name, {}))
    assert timeless(prune(about)) == timeless(prune(about, pruning_run(about)))


def test_the_teacher_is_the_dense_runs_where_its_step_was_not_kept(config):
    about = {"method": "unstructured", "retrain": "distil"}
    whole = config("whole", **about)
    expected = timeless(prune(whole, pruning_run(whole)))
    for iterations in (1, 2):
        half = config("half", **about, keep="last", iterations=iterations)
        found = timeless(prune(half, pruning_run(half)))
    assert pruning_run(half).checkpoints() == [2]
    assert found == expected


@pytest.mark.parametrize("epoch", [0, 1])
@pytest.mark.parametrize("method", METHODS)
def test_rewound_weights_are_those_of_the_dense_training_where_something_is_left(method, epoch, config, started):
    about = config("runs", method=method, retrain="weight-rewind", rewind_epoch=epoch)
    run = pruning_run(about)
    list(prune(about, run))
    before = at_epoch(config("other"), epoch)
    for step in (1, 2):
        found, state = started[step]
        kept = resolved(run, step).kept
        assert found.keys() <= before.keys()
        assert len(found) == len(before) or method == "depth"
        assert ("0.weight" in kept) == (method == "structured")
        for name, value in found.items():
            expected = before[name]
            for dim, stays in kept.get(name, {}).items():
                expected = expected.index_select(dim, stays.nonzero()[:, 0])
            mask = state.masks.get(name)
            assert torch.equal(value, expected if mask is None else expected.masked_fill(~mask, 0))


def at_epoch(config, epoch):
    """The values of the dense model after so many epochs of two, of a training that is stopped there."""
    run, seen = dense_run(config), []
    shutil.rmtree(run.folder)

    def stop():
        seen.append(1)
        return len(seen) == 4 * epoch

    if not epoch:
        return values(setups.set_up(resolve(config)).fresh().model)
    with pytest.raises(Stopped):
        train(config, run, stop=stop)
    return values(states.load(run.progress(), models.get(config.model)).checkpoint.model)


def test_the_second_phase_of_a_training_goes_back_to_the_first(config, started, tmp_path):
    (tmp_path / "first.toml").write_text('epochs = 1\nlr = 0.02\nmodel = "' + config("runs").model + '"\n')
    about = config("runs", weights=str(tmp_path / "first.toml"), retrain="weight-rewind", method="unstructured")
    first = resolve(about).first.dense
    list(prune(about, pruning_run(about)))
    found, state = started[1]
    before = values(checkpoint.load(first.checkpoint(0), models.get(about.model)).model)
    for name, value in found.items():
        mask = state.masks.get(name)
        assert torch.equal(value, before[name] if mask is None else before[name].masked_fill(~mask, 0))


def test_weights_that_are_taken_as_they_are_are_what_is_gone_back_to(config, started):
    dense = dense_run(config("runs"))
    about = {"weights": dense.key, "epochs": 0, "retrain": "weight-rewind", "method": "structured"}
    run = pruning_run(config("runs", **about))
    list(prune(config("runs", **about), run))
    before = values(checkpoint.load(dense.checkpoint(0), models.get(config("runs").model)).model)
    kept = resolved(run).kept["0.weight"]
    assert torch.equal(started[2][0]["0.weight"], before["0.weight"][kept[0]])
    assert run.record(2).samples_seen == 61


@pytest.mark.parametrize("schedule", ["constant", "cosine", "exponential", "one-cycle"])
def test_rewound_learning_rates_are_those_of_the_dense_training_to_its_end(schedule, config, monkeypatch):
    rates, set_lr = {}, fits.set_lr

    def watched(optimizer, recipe, epoch, done):
        set_lr(optimizer, recipe, epoch, done)
        rates.setdefault(recipe.before, []).append(optimizer.param_groups[0]["lr"])

    monkeypatch.setattr(fits, "set_lr", watched)
    about = {"epochs": 3, "schedule": schedule, "retrain": "lr-rewind", "rewind_epoch": 1, "iterations": 1}
    list(prune(config("runs", **about, method="unstructured")))
    assert len(rates[0]) == 3 * 4
    assert rates[1] == rates[0][4:]


def test_fresh_weights_are_others_in_every_step_and_the_same_units_of_the_unpruned_model(config, started):
    about = config("runs", method="structured", retrain="scratch")
    run = pruning_run(about)
    list(prune(about, run))
    for step in (1, 2):
        found, kept = started[step][0], resolved(run, step).kept
        seed_all(0, "scratch", step)
        whole = models.get(about.model).build(classes=3)
        assert torch.equal(found["0.weight"], whole[0].weight.detach()[kept["0.weight"][0]])
        assert found["1.running_mean"].eq(0).all()
    assert not torch.equal(started[1][0]["9.bias"], started[2][0]["9.bias"])


@pytest.mark.parametrize("method", METHODS)
def test_where_biases_are_trained_alone_everything_else_stays_to_the_bit(method, config, started):
    about = config("runs", method=method, retrain="bias-only")
    run = pruning_run(about)
    list(prune(about, run))
    before, after = started[2][0], values(resolved(run).model)
    names = {name for name, _ in started[2][1].model.named_parameters()}
    changed = {name for name in names if not torch.equal(before[name], after[name])}
    assert changed == {name for name in names if is_bias(name)}
    assert changed


def test_without_retraining_a_run_equals_one_of_no_epochs_of_fine_tuning(config):
    none, zero = ({"retrain": "none"}, {"finetune_epochs": 0})
    found = [timeless(prune(config("runs", **about, method="unstructured"))) for about in (none, zero)]
    assert found[0] == found[1]
    assert found[0][1].test_before == found[0][1].test_after


@pytest.mark.parametrize(
    ("name", "model", "message"),
    [
        ("bn-reestimate", "nn.Linear(432, classes)", "the model has no batch norms"),
        ("bias-only", "nn.Linear(432, classes, bias=False)", "the model has no biases"),
        ("scratch", "fixed(nn.Linear(432, classes))", "is built with the same weights whatever the seed"),
    ],
)
def test_a_model_that_lacks_what_is_retrained_is_refused(name, model, message, config, tmp_path):
    text = f"""
from torch import nn
def fixed(layer):
    nn.init.constant_(layer.weight, 0.5)
    nn.init.constant_(layer.bias, 0.5)
    return layer
def build(classes):
    return nn.Sequential(nn.Flatten(), {model})
"""
    (tmp_path / "other.py").write_text(text)
    about = config("runs", model=f"{tmp_path / 'other.py'}:build", method="unstructured", retrain=name)
    run = pruning_run(about)
    with pytest.raises(ConfigError, match=rf"^--retrain {name}: .*{message}"):
        list(prune(about, run))
    assert not run.folder.exists()


def test_where_rewound_weights_may_differ_it_is_told(config):
    about = config("runs", method="unstructured", retrain="weight-rewind", rewind_epoch=1, threads=2, iterations=1)
    found = list(prune(about, pruning_run(about)))
    (note,) = found[1].notes
    assert re.fullmatch(r"the dense model's weights .* anew with threads 2 instead of 1: they may differ .*", note)
