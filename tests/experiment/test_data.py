"""The task of an experiment: its data, its subsets, and what the model reads."""

from __future__ import annotations

import dataclasses
import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from prunebench import Dataset, RunConfig, Split, dense_run, prune, pruning_run, train
from prunebench.data.images import IMAGENET
from prunebench.data.text import train_tokenizer
from prunebench.errors import ConfigError, DataError
from prunebench.experiment.data import make_task
from prunebench.experiment.dataset import used
from prunebench.experiment.existing import of_run
from prunebench.experiment.resolve import resolve
from prunebench.experiment.setup import set_up
from prunebench.experiment.verify import verify


def test_images_are_read_in_the_size_of_the_config():
    task = make_task(resolve(RunConfig(model="resnet18", image_size=20)))
    assert (task.inputs.kind, task.inputs.size, task.objective.arguments) == ("images", 20, {"classes": 10})
    assert (len(task.targets["train"]), len(task.targets["test"])) == (1437, 360)


def test_statistics_of_other_weights_are_taken_over():
    task = make_task(resolve(RunConfig(model="resnet18")), statistics=IMAGENET)
    assert task.inputs.mean == IMAGENET[0]


def test_limits_take_fixed_stratified_subsets():
    experiment = resolve(RunConfig(model="resnet18", limit_train=100, limit_test=50))
    first, again = used(experiment.dataset, experiment.settings), used(experiment.dataset, experiment.settings)
    assert np.array_equal(first.train.inputs, again.train.inputs)
    assert np.bincount(first.train.labels).min() >= 9
    assert (len(first.train), len(first.test)) == (100, 50)


def test_text_is_cut_to_the_sequence_length_with_the_tokenizer_given_or_one_of_its_own():
    experiment = resolve(RunConfig(model="bert", sequence_length=9, limit_train=50, limit_test=20))
    own, given = make_task(experiment), make_task(experiment, tokenizer=train_tokenizer(["a b c"]))
    assert (own.inputs.kind, own.inputs.length, own.objective.arguments) == ("text", 9, {"classes": 2})
    assert given.inputs.vocabulary < own.inputs.vocabulary


def test_held_out_images_do_not_count_for_normalisation():
    experiment = resolve(RunConfig(model="resnet18", limit_train=100, validation=0.4))
    kept = used(experiment.dataset, experiment.settings).train.inputs / 255
    assert make_task(experiment).inputs.mean == pytest.approx((kept.mean(),))
    assert make_task(experiment).inputs.std == pytest.approx((kept.std(),))


def test_no_piece_is_learnt_from_held_out_sentences(tiny_net):
    sentences = [f"{'xyz'[i % 3]}{chr(0x3B1 + i)}" for i in range(20)]  # a letter of its own in each
    data = Dataset(Split(sentences, np.arange(20) % 2), Split(["a test"], np.array([0])), ["no", "yes"])
    experiment = resolve(RunConfig(model="bert", dataset=lambda: data, validation=0.3))
    held, task = used(experiment.dataset, experiment.settings).validation, make_task(experiment)
    known = {sentence: "[UNK]" not in task.tokenizer.encode(sentence).tokens for sentence in sentences}
    assert len(held) == 6
    assert {sentence for sentence in sentences if not known[sentence]} == set(held.inputs)


def test_what_is_held_out_is_decided_by_the_seed():
    def held(seed):
        experiment = resolve(RunConfig(model="resnet18", limit_train=100, validation=0.2, seed=seed))
        return used(experiment.dataset, experiment.settings).validation.inputs

    assert np.array_equal(held(3), held(3))
    assert not np.array_equal(held(3), held(4))


def test_a_users_loader_gets_where_the_data_is_and_the_seed(blobs, tmp_path, tiny_net):
    seen = []

    def load(data_dir, seed):
        seen.append((data_dir, seed))
        return blobs()

    make_task(resolve(RunConfig(model=tiny_net, dataset=load, data_dir=str(tmp_path), seed=7, image_size=12)))
    assert seen == [(tmp_path, 7)]


def test_how_files_are_read_reaches_a_loader_that_asks_and_leaves_its_own_defaults_where_nothing_is_said(
    blobs, tiny_net
):
    seen = []

    def load(encoding="latin-1", header=False, text_column=("body",)):
        seen.append((encoding, header, text_column))
        return blobs()

    for reading in ({}, {"encoding": "utf-8", "header": True, "text_column": ("a", "b")}):
        assert resolve(RunConfig(model=tiny_net, dataset=load, image_size=12, **reading)).dataset
    assert seen == [("latin-1", False, ("body",)), ("utf-8", True, ("a", "b"))]


def test_what_a_loader_has_to_tell_stays_with_the_data(blobs, tiny_net):
    told = dataclasses.replace(blobs(), notes=("a file was left out",))
    config = RunConfig(model=tiny_net, dataset=told, image_size=12, limit_train=20, validation=0.5)
    experiment = resolve(config)
    assert used(experiment.dataset, experiment.settings).notes == ("a file was left out",)


def test_data_that_the_model_cannot_read_is_refused(blobs):
    with pytest.raises(ConfigError, match="bert reads text"):
        make_task(resolve(RunConfig(model="bert", dataset=blobs)))


def test_a_loader_that_returns_something_else_is_refused(tiny_net):
    with pytest.raises(DataError, match="list"):
        make_task(resolve(RunConfig(model=tiny_net, dataset=lambda: [1, 2], image_size=12)))


@pytest.fixture
def pictures(tmp_path, tiny_net):
    """Makes the config of a folder of images, 12 wide and high."""
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            folder = tmp_path / "data" / part / name
            folder.mkdir(parents=True)
            for index in range(3):
                pixels = np.full((12, 12, 4), 40 * index, np.uint8)
                Image.fromarray(pixels).save(folder / f"{index}.png")

    def config(**changes):
        about = {"dataset": "image-folder", "data_dir": str(tmp_path / "data"), "runs_dir": str(tmp_path / "runs")}
        return RunConfig(**{"model": tiny_net, "image_size": 12, "workers": 0} | about | changes)

    return config


def first_pixel(task):
    images, _ = next(task.batches("train", [torch.tensor([0])], torch.device("cpu")))
    return (images[0, :, 0, 0] * torch.tensor(IMAGENET[1]) + torch.tensor(IMAGENET[0])).mul(255).round().tolist()


def test_settings_say_how_image_files_are_read(pictures):
    assert first_pixel(make_task(resolve(pictures()))) == [255, 255, 255]
    assert first_pixel(make_task(resolve(pictures(background="#000010")))) == [0, 0, 16]
    with pytest.raises(ConfigError, match="--background nothing"):
        make_task(resolve(pictures(background="nothing")))
    with pytest.raises(DataError, match="--resize none: 12 of 12 images are not 13×13"):
        make_task(resolve(pictures(resize="none", image_size=13)))


def test_what_is_done_to_images_is_in_the_summary(pictures):
    config = pictures()
    assert (
        set_up(resolve(config)).summary(pruned=False).left_out
        == make_task(resolve(config)).notes
        == (
            "6 of 6 training samples are there with several labels",
            "6 of 6 test samples are training samples too, so scores on them are too good",
            "12 images with transparent pixels are laid on --background.",
            "all images are 12×12, and are used as they are.",
            "12 images are kept in memory once they are read, 1 MB (--cache)",
        )
    )


def test_a_run_has_the_same_bits_whoever_reads_its_images_and_whether_they_are_kept(pictures):
    def bits(**how):
        *_, last = list(prune(pictures(epochs=2, iterations=1, batch_size=4, augment=True, **how)))
        return last.loss, last.test_before, last.train_before, last.test_after, last.train_after

    usual = bits(workers=0, cache="off")
    assert bits(workers=2, cache="off") == bits(workers=2, cache="on") == bits(workers=0) == usual


def test_a_broken_test_image_is_found_before_any_training(pictures, tmp_path):
    (tmp_path / "data" / "test" / "dog" / "1.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"1 of 12 images cannot be read: .*test/dog/1\.png"):
        list(prune(pictures(epochs=1, iterations=1)))
    assert not list((tmp_path / "runs").glob("*/step*"))


def test_folders_and_files_may_be_called_by_what_is_not_utf8(pictures, tmp_path):
    try:
        strange = tmp_path / os.fsdecode(b"d\xe9ta")
        (tmp_path / "data").rename(strange)
        (strange / "train" / "cat" / "1.png").rename(strange / "train" / "cat" / os.fsdecode(b"\xe9.png"))
        shutil.move(strange / "train" / "dog", strange / "train" / os.fsdecode(b"d\xf6g"))
        shutil.rmtree(strange / "test" / "dog")
    except OSError:
        pytest.skip("this disk takes UTF-8 alone")
    config = pictures(data_dir=str(strange), runs_dir=str(tmp_path / os.fsdecode(b"r\xe9ns")), epochs=1, iterations=1)
    records = list(prune(config))
    assert [record.step for record in records] == [0, 1]
    assert records[0].summary.left_out[-1] == "test has no sample of d\\xf6g"
    assert [record.test_after for record in prune(config)] == [record.test_after for record in records]
    assert pruning_run(config).manifest.config["data_dir"].endswith("d\\xe9ta")
    run = dense_run(config)
    train(config, run)
    found = list(verify(run, of_run(run, {"model": config.model})))
    assert [verdict.differences for verdict in found] == [()]
    assert "accuracies" in found[0].compared


def replaced(path, level=7):
    """Write another picture to a file whose time is put back."""
    about = path.stat()
    Image.fromarray(np.full((12, 12, 4), level, np.uint8)).save(path)
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


@pytest.mark.parametrize("phase", ["train", "finetune"])
def test_a_file_that_is_replaced_while_it_is_trained_on_ends_the_step_and_nothing_of_it_is_used(
    pictures, tmp_path, phase
):
    config = pictures(epochs=3, finetune_epochs=3, iterations=1, checkpoint_every=1e-9)
    path = tmp_path / "data" / "train" / "cat" / "1.png"
    whole = [record.test_after for record in prune(config)]
    content, run = path.read_bytes(), pruning_run(config)

    def change(tick):
        if tick.phase == phase and tick.epoch == 1:
            replaced(path)

    with pytest.raises(DataError, match=r"The data in .*data changed while it was read, so .* is not kept\. Give th"):
        list(prune(config, run, change))
    path.write_bytes(content)
    steps = [] if phase == "train" else [0]
    assert (dense_run(config).steps(), run.steps()) == (steps, steps)
    assert (run if steps else dense_run(config)).begun  # the epoch before the change
    assert [record.test_after for record in prune(config, run)] == whole


def test_texts_that_are_replaced_between_digest_and_reading_are_told(tmp_path):
    for part in ("train", "test"):
        (tmp_path / f"{part}.csv").write_text("text,label\nfine,1\nbleak,0\n")
    given = {"data_dir": str(tmp_path), "runs_dir": str(tmp_path / "runs")}
    experiment = resolve(RunConfig(model="bert", dataset="text-file", **given))
    assert experiment.data_digest
    (tmp_path / "train.csv").write_text("text,label\nfine,1\nawful,0\n")
    with pytest.raises(DataError, match="changed while it was read"):
        set_up(experiment)


def uneven():
    """Images of two classes, 30 and 10 to train on, two of each to test."""
    labels = np.array([0] * 30 + [1] * 10)
    images = np.arange(40 * 64, dtype=np.uint32).reshape(40, 8, 8).astype(np.uint8)
    return Dataset(Split(images, labels), Split(images[:4], labels[28:32]), ["a", "b"])


@pytest.mark.parametrize(
    ("given", "weights"),
    [({}, [40 / 60, 40 / 20]), ({"limit_train": 20}, [20 / 30, 20 / 10]), ({"validation": 0.2}, [32 / 48, 32 / 16])],
)
def test_class_weights_are_by_the_samples_that_are_trained_on(given, weights, tiny_config):
    config = tiny_config(dataset=uneven, image_size=8, class_weights="balanced", **given)
    objective = make_task(resolve(config)).objective
    logits, labels = torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([0, 1])
    losses = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    expected = (losses * torch.tensor(weights)).sum() / sum(weights)
    assert float(objective.loss(logits, labels)) == pytest.approx(float(expected))
    assert float(objective.count(logits, labels)["loss"]) == pytest.approx(float(losses.sum()))
    plain = make_task(resolve(tiny_config(dataset=uneven, image_size=8, **given))).objective
    assert float(plain.loss(logits, labels)) == pytest.approx(float(losses.mean()))


def test_text_is_weighted_as_well(tiny_config):
    def load():
        words = Split(["good", "fine", "nice", "bad"], [0, 0, 0, 1])
        return Dataset(words, words, ["good", "bad"])

    logits, labels = torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([0, 1])
    losses = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    objective = make_task(resolve(tiny_config(model="bert", dataset=load, class_weights="balanced"))).objective
    by_hand = (4 / 6 * losses[0] + 4 / 2 * losses[1]) / (4 / 6 + 4 / 2)
    assert float(objective.loss(logits, labels)) == pytest.approx(float(by_hand))


class Shares(torch.nn.Module):
    """Tells of any image how likely each class is."""

    def __init__(self, classes):
        super().__init__()
        self.layer = torch.nn.Linear(1, classes)

    def forward(self, images):
        return self.layer(torch.ones(len(images), 1))


@pytest.mark.parametrize(
    ("given", "trained", "tested"),
    [
        ({}, -0.75 * np.log(0.75) - 0.25 * np.log(0.25), -np.log(0.75) / 2 - np.log(0.25) / 2),
        ({"class_weights": "balanced"}, np.log(2), np.log(2)),
    ],
)
def test_training_and_fine_tuning_are_weighted_and_scores_are_not(given, trained, tested, tiny_config):
    about = {"epochs": 80, "lr": 0.1, "batch_size": 40, "finetune_lr": 0.01, "finetune_batch_size": 40}
    config = tiny_config(model=Shares, dataset=uneven, image_size=8, method="none", iterations=1, **about, **given)
    for record in prune(config):
        assert record.loss == pytest.approx(trained, abs=5e-3)
        assert record.test_after["loss"] == pytest.approx(tested, abs=2e-2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": torch.nn.CrossEntropyLoss()}, "has a loss of its own: weigh it there"),
        ({"several": True}, "may have several labels: give the dataset a loss, such as torch.nn.BCEWithLogitsLoss"),
    ],
)
def test_classes_are_weighted_in_cross_entropy_alone(changes, message, blobs, tiny_config):
    def load():
        data = blobs()
        if "several" not in changes:
            return dataclasses.replace(data, **changes)
        train, test = (Split(of.inputs, np.eye(3)[of.labels]) for of in (data.train, data.test))
        return Dataset(train, test, data.classes)

    with pytest.raises(
        ConfigError, match=f"--class-weights balanced weighs the cross-entropy of one label .* {message}"
    ):
        make_task(resolve(tiny_config(dataset=load, class_weights="balanced")))


def test_a_loss_and_a_transform_make_another_run_by_what_they_are(blobs, tiny_config):
    def key(**changes):
        return dense_run(tiny_config(dataset=lambda: dataclasses.replace(blobs(), **changes))).key

    def loss(factor):
        return lambda logits, labels: factor * torch.nn.functional.cross_entropy(logits, labels)

    ways = [{}, {"loss": loss(1)}, {"loss": loss(2)}, {"transform": torch.flip}, {"transform": torch.flipud}]
    assert [key(**way) for way in ways] == [key(**way) for way in ways]
    assert len({key(**way) for way in ways}) == len(ways)
