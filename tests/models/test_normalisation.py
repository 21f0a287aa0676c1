"""Normalisation is found where others write it down, and nothing that is none is taken for it."""

import json
from argparse import Namespace

import pytest
import torch
from torch import nn

from prunebench.models.normalisation import (
    problem_of,
    statistics_beside,
    statistics_in,
    statistics_of,
    told,
    unsound_beside,
    unsound_in,
)

HALF = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)


@pytest.mark.parametrize(
    "found",
    [
        {"mean": HALF[0], "std": list(HALF[1])},
        {"image_mean": list(HALF[0]), "image_std": list(HALF[1])},
        {"pretrained_cfg": {"mean": HALF[0], "std": HALF[1]}},
        {"args": Namespace(mean=HALF[0], std=HALF[1], lr=0.1)},
        {"mean": json.dumps(HALF[0]), "std": json.dumps(HALF[1])},
    ],
)
def test_statistics_are_found_where_files_tell_them(found, tmp_path):
    assert statistics_in(found) == HALF


@pytest.mark.parametrize(
    "found",
    [
        {},
        None,
        {"mean": 0.5, "std": 0.5},
        {"mean": (0.5,)},
        {"mean": (0.5, 0.5), "std": (0.5, 0.5)},
        {"mean": (125.0,), "std": (60.0,)},
        {"mean": torch.tensor([0.5, 0.5, 0.5]), "std": torch.tensor([0.5, 0.5, 0.5])},  # of a model that does it itself
        {"mean": "many", "std": "few"},
        {"mean": (True,), "std": (True,)},
    ],
)
def test_what_is_none_is_not_taken_for_it(found):
    assert statistics_in(found) is None


def test_files_beside_a_weight_file_tell_them(tmp_path):
    path = tmp_path / "model.safetensors"
    assert statistics_beside(path) is None
    (tmp_path / "config.json").write_text("{broken")
    assert statistics_beside(path) is None
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_mean": HALF[0], "image_std": HALF[1]}))
    assert statistics_beside(path) == HALF


def test_what_is_told_and_cannot_be_taken_is_said(tmp_path):
    bytes_ = {"args": {"mean": [127.5], "std": [60.0]}}
    said = "mean 127.5, std 60 is not taken: images are scaled to 0 to 1 before; of 0 to 255, the mean is 0.5"
    assert unsound_in(bytes_) == said
    assert not unsound_in({"mean": HALF[0], "std": HALF[1], **bytes_})
    assert not unsound_in({})
    (tmp_path / "config.json").write_text(json.dumps(bytes_))
    assert unsound_beside(tmp_path / "w.pth") == f"config.json: {said}"
    assert statistics_beside(tmp_path / "w.pth") is None


def test_a_model_of_timm_tells_them():
    model = nn.Linear(1, 1)
    assert statistics_of(model) is None
    model.pretrained_cfg = {"mean": HALF[0], "std": HALF[1]}
    assert statistics_of(model) == HALF


@pytest.mark.parametrize(
    ("mean", "std", "words"),
    [
        ((0.5,), (0.5, 0.5, 0.5), "1 and 3 numbers"),
        ((0.1, 0.2), (0.1, 0.2), "1 or 3"),
        ((127.5,), (1.0,), "the mean is 0.5"),
        ((0.5,), (0.0,), "above 0"),
        ((-0.5,), (1.0,), "between 0 and 1"),
        ((float("nan"),), (1.0,), "finite"),
    ],
)
def test_what_is_wrong_is_told(mean, std, words):
    assert words in problem_of(mean, std)
    assert problem_of(*HALF) == ""


def test_they_are_told_in_a_line():
    assert told(HALF) == "mean 0.5, 0.5, 0.5, std 0.25, 0.25, 0.25"
