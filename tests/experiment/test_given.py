"""Weights that were given: taken as they are, gone on from with their masks, and never made worse in silence."""

from __future__ import annotations

import importlib.metadata
import json
import logging

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn
from torch.nn.utils import prune as torchs

from prunebench import Dataset, Split, dense_run, prune, pruning_run, train
from prunebench.errors import ConfigError, ModelError, RunError, Stopped
from prunebench.experiment.given import as_given, score_given
from prunebench.experiment.loop import reevaluate
from prunebench.experiment.resolve import resolve
from prunebench.experiment.setup import set_up
from prunebench.experiment.verify import inexact
from prunebench.models import checkpoint
from prunebench.models.architecture import models
from prunebench.runs import environment as hardware
from prunebench.runs.environment import RECORDED


@pytest.fixture
def trained(tiny_config, tmp_path):
    """The config and the record of a small CNN that was trained, and its weights in a file."""
    config = tiny_config(epochs=8)
    record = train(config, run := dense_run(config))
    state = load_file(run.step_folder(0) / "model.safetensors")
    torch.save(state, tmp_path / "w.pth")
    inputs = checkpoint.load(run.step_folder(0), models.get(config.model)).architecture.inputs
    return record, tmp_path / "w.pth", {"mean": inputs.mean, "std": inputs.std}


def test_no_epoch_takes_weights_as_they_are(trained, tiny_config):
    record, path, normal = trained
    config = tiny_config(weights=str(path), epochs=0, **normal)
    found = train(config, run := dense_run(config))
    assert (found.test_after, found.train_after, found.loss) == (record.test_after, record.train_after, None)
    own = load_file(run.step_folder(0) / "model.safetensors")
    assert all(torch.equal(tensor, own[name]) for name, tensor in torch.load(path).items())
    first = next(prune(config, pruning_run(config)))
    assert first.test_after == record.test_after


def test_weights_are_scored_without_a_run(trained, tiny_config, tmp_path):
    record, path, normal = trained
    before = sorted(tmp_path.rglob("*"))
    found = score_given(as_given(tiny_config(weights=str(path), **normal)))
    assert (found.test_after, found.train_after) == (record.test_after, record.train_after)
    assert sorted(tmp_path.rglob("*")) == before


def test_no_epoch_needs_weights(tiny_config):
    config = msgspec.structs.replace(tiny_config(epochs=0), model="resnet18")
    for work in (train, as_given):
        with pytest.raises(ConfigError, match=r"--epochs 0 takes weights as they are, and there are none"):
            work(config)
    assert train(tiny_config(epochs=0)).loss is None  # a user's builder may have loaded some


def test_where_nothing_is_trained_nothing_is_said_to_be(tiny_config, caplog):
    with caplog.at_level("INFO"):
        for epochs in (0, 1):
            config = tiny_config(epochs=epochs, iterations=1)
            next(prune(config, pruning_run(config)))
            assert any("training it first" in message for message in caplog.messages) == bool(epochs)


def test_no_epoch_needs_a_classifier_of_the_datas_classes(trained, tiny_config):
    _, path, _ = trained
    state = torch.load(path)
    torch.save({name: t for name, t in state.items() if not name.startswith("classifier.3")}, path)
    with pytest.raises(ModelError, match=r"--epochs 0, but the layer classifier\.3 would start fresh"):
        train(tiny_config(weights=str(path), epochs=0))
    assert train(tiny_config(weights=str(path), epochs=1)).notes == ()  # nothing to compare with


def test_training_that_ends_below_its_weights_is_warned_of_and_recorded(trained, tiny_config, caplog):
    record, path, normal = trained
    config = tiny_config(weights=str(path), epochs=1, lr=5.0, **normal)
    with caplog.at_level(logging.WARNING, "prunebench"):
        found = train(config, dense_run(config))
    assert found.test_after.top1 < record.test_after.top1
    (note,) = found.notes
    assert note.startswith(
        f"training ended below the weights that it was given: test accuracy {record.test_after.top1:.4g} → "
    )
    assert note in caplog.text
    assert next(prune(config, pruning_run(config))).notes == found.notes


def test_training_that_does_not_is_not(trained, tiny_config, caplog):
    _, path, normal = trained
    with caplog.at_level(logging.WARNING, "prunebench"):
        assert train(tiny_config(weights=str(path), epochs=1, lr=1e-9, **normal)).notes == ()
        assert train(tiny_config(epochs=1, lr=5.0)).notes == ()  # no weights were given
    assert caplog.text == ""


def test_pruning_goes_on_from_the_masks_of_a_file(trained, tiny_config, tiny_net):
    _, path, normal = trained
    model = tiny_net(3)
    model.load_state_dict(torch.load(path))
    for part in (model.features[4], model.classifier[1]):
        torchs.l1_unstructured(part, "weight", 0.5)
    torch.save(model.state_dict(), path)
    config = tiny_config(weights=str(path), epochs=1, method="unstructured", iterations=1, **normal)
    steps = list(prune(config, run := pruning_run(config)))
    masks = [checkpoint.load(run.step_folder(step), resolve(config).model).masks for step in (0, 1)]
    name = "features.4.weight"
    assert torch.equal(masks[0][name], model.features[4].weight_mask.bool())
    assert not (masks[1][name] & ~masks[0][name]).any()
    weights = load_file(run.step_folder(0) / "model.safetensors")
    assert (weights[name][~masks[0][name]] == 0).all()  # training has kept them so
    (unit,) = steps[0].units
    assert (unit.original, unit.left) == (1896, 1896 - 432 - 384)
    config = msgspec.structs.replace(config, method="structured", fraction=0.5)
    steps = list(prune(config, run := pruning_run(config)))
    weights = load_file(run.step_folder(1) / "model.safetensors")
    masks = checkpoint.load(run.step_folder(1), resolve(config).model).masks
    assert weights[name].shape == masks[name].shape == (6, 4, 3, 3)
    assert torch.equal(weights[name] == 0, ~masks[name])
    assert steps[1].nonzero_params == steps[1].params - sum(int((~mask).sum()) for mask in masks.values())


def test_normalisation_is_as_given_else_as_files_or_the_model_say_else_as_imagenets(trained, tiny_config, tiny_net):
    _, path, _ = trained
    half = (0.5,) * 3, (0.25,) * 3

    def timms(classes):
        model = tiny_net(classes)
        model.pretrained_cfg = {"mean": (0.1, 0.2, 0.3), "std": (1.0, 1.0, 1.0)}
        return model

    def used(**more):
        inputs = (made := set_up(resolve(tiny_config(weights=str(path), **more)))).task.inputs
        (said,) = [note for note in made.summary(pruned=False).weights if "normalised" in note]
        return inputs.mean, said.partition(" (")[0]

    assert used() == (
        (0.485, 0.456, 0.406),
        "images are normalised as ImageNet's, since neither the file nor the model says how; --mean and --std "
        "set others",
    )
    assert used(model=timms) == ((0.1, 0.2, 0.3), "images are normalised as the model's pretrained_cfg says")
    (path.parent / "config.json").write_text(json.dumps({"pretrained_cfg": {"mean": half[0], "std": half[1]}}))
    for model in (tiny_net, timms):
        assert used(model=model) == (half[0], "images are normalised as the weights' own files say")
    assert used(mean=(0.3,), std=(0.1,)) == ((0.3,), "images are normalised as --mean and --std say")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"mean": (0.5,)}, "go together"),
        ({"std": (0.5,)}, "go together"),
        ({"mean": (127.5,), "std": (60.0,)}, "the mean is 0.5"),
        ({"mean": (0.5,), "std": (0.5,), "model": "bert", "dataset": "reviews"}, "this is text"),
    ],
)
def test_statistics_that_are_none_are_refused(given, words, tiny_config):
    with pytest.raises(ConfigError, match=words):
        resolve(tiny_config(**given))


def build_lazy(classes: int) -> nn.Module:
    return nn.Sequential(
        nn.LazyConv2d(8, 3),
        nn.LazyBatchNorm2d(),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.LazyLinear(classes),
    )


def test_a_run_of_lazy_layers_is_loaded_continued_and_started_from(tiny_config):
    config = tiny_config(model=build_lazy, iterations=1, epochs=1)
    list(prune(config, run := pruning_run(config)))
    assert len(list(prune(msgspec.structs.replace(config, iterations=2), run))) == 3
    found = checkpoint.load(run.checkpoint(2), models.get(build_lazy))
    assert all(not isinstance(parameter, nn.parameter.UninitializedParameter) for parameter in found.model.parameters())
    again = tiny_config(model=build_lazy, weights=dense_run(config).key, epochs=1)
    assert train(again).step == 0


def test_a_lazy_layer_that_is_never_used_is_refused_before_the_training(tiny_config):
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.spare = build_lazy(3), nn.LazyLinear(4)

        def forward(self, images):
            return self.body(images)

    with pytest.raises(ModelError, match="its lazy layers spare are never used"):
        next(prune(tiny_config(model=lambda classes: Odd())))


def build_words(classes, config):
    """A model of sentences, as a user would bring it."""
    return Words(config["vocab_size"], classes)


class Words(nn.Module):
    def __init__(self, vocabulary, classes):
        super().__init__()
        self.embedding, self.body, self.head = nn.Embedding(vocabulary, 8), nn.Linear(8, 6), nn.Linear(6, classes)

    def forward(self, input_ids, attention_mask):
        weights = attention_mask[:, :, None].float()
        mean = (self.embedding(input_ids) * weights).sum(1) / weights.sum(1)
        return self.head(torch.relu(self.body(mean)))


def load_words():
    labels = np.arange(24) % 2
    texts = [f"{('bad', 'good')[label]} film number {number}" for number, label in enumerate(labels)]
    return Dataset(Split(texts[:16], labels[:16]), Split(texts[16:], labels[16:]), ["bad", "good"])


@pytest.fixture
def words(tiny_config):
    return tiny_config(model=build_words, dataset=load_words, method="unstructured", epochs=1, iterations=2)


def test_a_pruning_run_takes_the_tokenizer_of_its_dense_run_and_trains_none(words, monkeypatch):
    whole = list(prune(words))
    train(words, dense_run(words))

    def refused(sentences):
        raise AssertionError("a tokenizer is trained")

    monkeypatch.setattr("prunebench.data.text.train_tokenizer", refused)
    run = pruning_run(words)
    steps = list(prune(msgspec.structs.replace(words, iterations=1), run)) + list(prune(words, run))[2:]
    assert [step.test_after for step in steps] == [step.test_after for step in whole]
    files = [run.step_folder(2) / "tokenizer.json", dense_run(words).step_folder(0) / "tokenizer.json"]
    assert files[0].read_text() == files[1].read_text()


def test_a_training_that_was_stopped_goes_on_with_its_tokenizer(words, monkeypatch):
    config = msgspec.structs.replace(words, epochs=3)
    whole = train(config)
    asked = iter(range(99))
    with pytest.raises(Stopped):
        train(config, dense_run(config), stop=lambda: next(asked) > 0)
    monkeypatch.setattr("prunebench.data.text.train_tokenizer", lambda sentences: 1 / 0)
    assert train(config, dense_run(config)).test_after == whole.test_after


def test_versions_of_what_prepared_the_data_are_recorded_and_others_refused(words, tiny_config, tmp_path, monkeypatch):
    short = msgspec.structs.replace(words, iterations=1)
    list(prune(short, pruning_run(words)))
    images = tiny_config(epochs=1)
    train(images, dense_run(images))
    for label in ("a", "b"):
        for part in ("train", "test"):
            (folder := tmp_path / "data" / part / label).mkdir(parents=True)
            for number in range(3):
                Image.new("RGB", (12, 12), (90 * number, 0, 0)).save(folder / f"{number}.png")
    files = tiny_config(dataset="image-folder", data_dir=str(tmp_path / "data"), epochs=1, workers=0)
    train(files, dense_run(files))
    runs = pruning_run(words), dense_run(words), dense_run(images), dense_run(files)
    found = [set(run.environment().versions) - {*RECORDED} for run in runs]
    here, conftest = {"msgspec", "pytest", "pillow", "safetensors"}, {"msgspec", "pytest", "hypothesis"}
    assert found == [{"tokenizers"} | here] * 2 + [conftest, {"pillow"} | conftest]  # these files are the user's own
    real = hardware._version
    monkeypatch.setattr(hardware, "_version", lambda name: "9" if name == "tokenizers" else real(name))
    with pytest.raises(RunError, match=r"was begun with tokenizers .*; here it would go on with tokenizers 9"):
        list(prune(words, pruning_run(words)))
    with pytest.raises(
        RunError, match=r"computed with tokenizers .*; here is tokenizers 9, .*`prunebench verify test_given-"
    ):
        reevaluate(pruning_run(words), 0, words)
    assert reevaluate(dense_run(images), 0, images)[0] == dense_run(images).record(0).test_after
    longer = msgspec.structs.replace(images, iterations=1)
    assert len(list(prune(longer, pruning_run(longer)))) == 2


def test_versions_of_what_the_users_own_files_import_are_recorded_and_others_refused(
    tiny_config, tmp_path, monkeypatch
):
    (tmp_path / "mine.py").write_text("import sklearn\n\ndef score(weight):\n    return weight.abs()\n")
    config = tiny_config(criterion=f"{tmp_path / 'mine.py'}:score", epochs=1, iterations=1)
    list(prune(config, run := pruning_run(config)))
    version = importlib.metadata.version("scikit-learn")
    assert run.environment().versions["scikit-learn"] == version
    assert "scikit-learn" not in dense_run(config).environment().versions
    real = hardware._version
    monkeypatch.setattr(hardware, "_version", lambda name: "9" if name == "scikit-learn" else real(name))
    longer = msgspec.structs.replace(config, iterations=2)
    with pytest.raises(
        RunError, match=f"was begun with scikit-learn {version}; here it would go on with scikit-learn 9"
    ):
        list(prune(longer, run))
    with pytest.raises(RunError, match=f"was computed with scikit-learn {version}; here is scikit-learn 9"):
        reevaluate(run, 1, config)
    assert inexact(run, resolve(config)) == f"scikit-learn {version} → 9"
    assert len(list(prune(config, run))) == 2  # a finished run is answered from its records
