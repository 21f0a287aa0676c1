"""Of classes it is said where they have no samples, and where some have many more than others."""

import numpy as np

from prunebench import Dataset, Split
from prunebench.data.balance import class_notes


def dataset(train, test):
    splits = [Split(np.zeros((len(labels), 2, 2), np.uint8), np.array(labels)) for labels in (train, test)]
    return Dataset(splits[0], splits[1], ["cat", "dog", "eel"])


def test_of_balanced_data_nothing_is_said():
    assert list(class_notes(dataset([0, 1, 2] * 3, [0, 1, 2, 0, 1, 2, 0]))) == []


def test_a_part_without_a_sample_of_a_class_is_told():
    assert list(class_notes(dataset([0, 2], [0, 1, 2]))) == ["train data has no sample of 1 of 3 classes: dog."]
    assert list(class_notes(dataset([0, 1, 2], [1]))) == ["test data has no sample of 2 of 3 classes: cat, eel."]


def test_imbalance_is_told_with_what_guessing_would_score():
    assert list(class_notes(dataset([0] * 8 + [1] * 4 + [2] * 4, [0, 1, 2]))) == [
        "train data is imbalanced: 8 samples of cat, 4 of dog. All weigh alike; "
        "always answering cat is right for 50.0%."
    ]
