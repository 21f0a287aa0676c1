"""What is in several parts, or has several labels, is counted, whatever samples are."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch

from prunebench.data.dataset import Dataset, Split, hold_out
from prunebench.data.repeated import repeated

NAMES = list("abcdef")


def digests(paths):
    return {path: sha256(path.name[0].encode()).hexdigest() for path in paths}


def images(names):
    return np.stack([np.full((3, 4, 4), ord(name), np.uint8) for name in names])


KINDS = {
    "texts": list,
    "files": lambda names: [Path(f"{name}{index}.png") for index, name in enumerate(names)],
    "arrays": images,
    "tensors": lambda names: torch.from_numpy(images(names)),
}


def told(kind, train, test, labels=None):
    labels = np.arange(len(train)) % 2 if labels is None else np.array(labels)
    one, other = Split(KINDS[kind](train), labels), Split(KINDS[kind](test), np.arange(len(test)) % 2)
    return list(repeated(Dataset(one, other, ["x", "y"]), digests))


@pytest.mark.parametrize("kind", KINDS)
def test_samples_in_both_parts_are_counted(kind):
    assert told(kind, "abcd", "ef") == []
    assert told(kind, "abcd", "eaf") == ["1 of 3 test samples are training samples too, so scores on them are too good"]
    assert told(kind, "aabc", "aa")[0].startswith("2 of 4 training samples are there with several labels")
    assert told(kind, "aabc", "aa")[1].startswith("2 of 2 test samples")


@pytest.mark.parametrize("kind", KINDS)
def test_samples_with_several_labels_are_counted_and_mere_repetition_is_not(kind):
    assert told(kind, "aaabbc", "d", [0, 0, 1, 1, 1, 0]) == ["3 of 6 training samples are there with several labels"]
    assert told(kind, "aaabbc", "d", [0, 0, 0, 1, 1, 0]) == []


def test_what_is_held_out_is_looked_at_too():
    split = Split(["a", "b"] * 10, np.array([0, 1] * 10))
    dataset = hold_out(replace(Dataset(split, Split(["c"], np.array([0])), ["x", "y"])), 0.2, 0)
    assert list(repeated(dataset, digests)) == [
        "4 of 4 held-out samples are training samples too, so scores on them are too good"
    ]
