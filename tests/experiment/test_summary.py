"""What a run took its data, weights and model for is told before it takes long, and kept."""

from __future__ import annotations

import logging
from dataclasses import replace

import msgspec
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from prunebench import Dataset, Split, prune, pruning_run, train
from prunebench.experiment.plan import summary_lines
from prunebench.experiment.resolve import resolve
from prunebench.experiment.setup import set_up
from prunebench.pruning.multiplied import OTHERWISE, SCALES
from prunebench.records import PartSummary


def summary(config, pruned=True):
    return set_up(resolve(config)).summary(pruned=pruned)


def test_the_parts_the_normalisation_and_the_share_that_pruning_reaches(tiny_config):
    found = summary(tiny_config(validation=0.2))
    assert found.parts["test"] == PartSummary(25, 3, 8, 9)
    assert (found.parts["train"].samples, found.parts["validation"].samples) == (49, 12)
    assert (len(found.mean), len(found.std)) == (1, 1)
    assert found.classes == ("left", "middle", "right")
    assert any("samples of 3 classes (left, middle, right), " in line for line in summary_lines(found))
    assert not any("left, middle" in line for line in summary_lines(msgspec.structs.replace(found, classes=())))
    assert found.weights == ("fresh, from the seed",)
    assert found.digest == resolve(tiny_config()).dense.manifest.contents["data"]
    assert 0 < found.reached_params < found.params
    assert 0 < found.reached_macs == found.macs  # of the output layer what it reads
    assert found.spared == {}
    assert found.proof.groups == 3


def test_what_patterns_spare_is_told_as_such_and_masks_reach_every_layer(tiny_config):
    found = summary(tiny_config(method="unstructured", exclude=("classifier",)))
    assert found.spared == dict.fromkeys(("classifier.1", "classifier.3"), "--include and --exclude")
    whole = summary(tiny_config(method="unstructured"))
    assert (whole.spared, whole.reached_macs) == ({}, whole.macs)
    assert any("spared: classifier.1, classifier.3 (--include and --exclude)" in line for line in summary_lines(found))


class Mixed(nn.Module):
    """A normed convolution, a place that is added, and a matrix that no layer holds."""

    def __init__(self, classes):
        super().__init__()
        self.conv = parametrizations.weight_norm(nn.Conv2d(3, 8, 3))
        self.place = nn.Parameter(torch.zeros(8, 1, 1))
        self.out = nn.Parameter(torch.randn(8, classes))

    def forward(self, images):
        return (self.conv(images) + self.place).relu().mean((2, 3)) @ self.out


def test_what_of_single_weights_is_spared_is_told_with_its_share(tiny_config):
    found = summary(tiny_config(model=Mixed, method="unstructured"))
    assert (found.params, found.reached_params) == (8 * 27 + 8 + 8 + 8 + 24, 8 * 27 + 24)
    assert found.reached_macs == found.macs
    assert found.spared == {"place": OTHERWISE, "conv.parametrizations.weight.original0": SCALES}
    assert found.spared_params == {OTHERWISE: 8, SCALES: 8}
    told = list(summary_lines(found))
    assert any(
        "pruning can reach 90.9 % of the parameters, and layers with 100.0 % of the MACs" in line for line in told
    )
    assert any(f"spared: place ({OTHERWISE}): 3.0 % of the parameters" in line for line in told)
    without = summary(tiny_config(model=Mixed, method="unstructured", exclude=("out",)))
    assert without.spared["out"] == "--include and --exclude"
    assert without.spared_params["--include and --exclude"] == 24


@pytest.mark.parametrize("about", [{"method": "none"}, {}])
def test_where_nothing_is_pruned_nothing_is_told_of_pruning(about, tiny_config):
    found = summary(tiny_config(**about), pruned=bool(about))
    assert (found.reached_params, found.reached_macs, found.spared) == (0, 0, {})
    assert not [line for line in summary_lines(found) if "pruning" in line]


def test_classes_without_samples_and_uneven_ones_are_told(tiny_config):
    def load():
        labels = np.array([0] * 40 + [1] * 4 + [2] * 4)
        images = np.random.default_rng(0).integers(0, 256, (92, 12, 12)).astype(np.uint8)
        train, test = Split(images[:48], labels), Split(images[48:], labels[:44])
        return Dataset(train, test, ["a", "b", "c\n"], notes=("2 left out",))

    found = summary(tiny_config(dataset=load))
    assert found.left_out == (
        "2 left out",
        "train is uneven: 4 samples of its smallest class, 40 of its largest",
        r"test has no sample of c\n",
        "class weights: none; --class-weights balanced has all classes count alike in the loss",
    )
    told = list(summary_lines(found))
    assert told[0].endswith(
        r"test 44 samples of 3 classes (a, b, c\n), 4 to 40 of each in train, "
        "90.9 % of test of the largest class, digest " + found.digest[:10]
    )
    assert [line.strip() for line in told[1:5]] == list(found.left_out)
    weighted = summary(tiny_config(dataset=load, class_weights="balanced"))
    assert weighted.left_out[:3] == found.left_out[:3]
    assert weighted.left_out[3:] == (
        "class weights: balanced, 0.4 for the largest class of train to 4 for the smallest; "
        "they weigh the loss, not the scores",
    )


def test_a_model_that_ends_in_a_softmax_is_told(tiny_config, tiny_net):
    def build(classes):
        return nn.Sequential(tiny_net(classes), nn.Softmax(dim=1))

    (doubt,) = summary(tiny_config(model=build)).doubts
    assert doubt.startswith("its outputs are probabilities")
    assert list(summary_lines(summary(tiny_config(model=build))))[-1].strip() == doubt
    assert summary(tiny_config()).doubts == ()


def test_it_is_told_before_the_training_kept_in_step_0_and_survives_json(tiny_config, caplog):
    config, seen = tiny_config(epochs=1, iterations=1), []
    run = pruning_run(config)
    with caplog.at_level(logging.INFO):
        (first, _) = prune(config, run, lambda tick: seen.append(len(caplog.messages)))
    place = next(i for i, message in enumerate(caplog.messages) if message.startswith("  data     "))
    assert place < seen[0]
    assert run.record(0).summary == first.summary == summary(config)
    assert run.record(1).summary is None
    assert msgspec.json.decode(msgspec.json.encode(first), type=type(first)) == first
    assert train(config).summary == replace_reach(first.summary)


def replace_reach(found):
    return msgspec.structs.replace(found, reached_params=0, reached_macs=0, spared={}, proof=None)


def test_weights_are_told_with_the_notes_on_them(tiny_config):
    setup = set_up(resolve(tiny_config()))

    def make(task):
        return replace(setup.start.make(task), notes=("fc starts fresh",))

    noted = replace(setup, start=replace(setup.start, make=make))
    assert noted.summary(pruned=False).weights == ("fresh, from the seed", "fc starts fresh")
    assert [line.strip() for line in summary_lines(noted.summary(pruned=False))][1:3] == [
        "weights  fresh, from the seed",
        "fc starts fresh",
    ]
