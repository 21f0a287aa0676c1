"""What a loader returns is checked before it is used: what is wrong is said, and what is right is taken."""

from collections import UserList
from pathlib import Path

import numpy as np
import pytest
import torch

from prunebench.data.checking import checked
from prunebench.data.dataset import Dataset, Split
from prunebench.errors import DataError

IMAGES = Split(np.zeros((4, 8, 8), np.uint8), np.array([0, 1, 0, 1]))
CLASSES = ["a", "b"]
IMAGE = "images must be uint8 of shape N×H×W or N×C×H×W (C being 1 or 3),"


def test_validation_data_of_a_loader_is_refused_since_it_would_not_be_used():
    with pytest.raises(DataError, match="mine returned validation data; leave it to --validation"):
        checked(Dataset(IMAGES, IMAGES, CLASSES, IMAGES), "mine")


@pytest.mark.parametrize("shape", [(4, 8, 8), (4, 1, 8, 8), (4, 3, 8, 8)])
@pytest.mark.parametrize("kind", [np.zeros, torch.zeros])
def test_images_in_memory_are_arrays_or_tensors_of_bytes(shape, kind):
    split = Split(kind(shape, dtype=np.uint8 if kind is np.zeros else torch.uint8), [0, 1, 0, 1])
    dataset = checked(Dataset(split, split, CLASSES), "mine")
    assert dataset.kind == "images"
    assert dataset.train.labels.dtype == np.int64


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (2, "classes are int; give a list of their names, in the order of the labels"),
        ({"a", "b"}, "classes are set; give a list"),
        ("ab", "classes are str; give a list"),
        (["a"], "there is one class, 'a', so there is nothing to tell apart"),
    ],
)
def test_classes_are_a_list_of_several_names(classes, message):
    split = Split(IMAGES.inputs, np.zeros(4, int))
    with pytest.raises(DataError, match=f"^mine: {message}"):
        checked(Dataset(split, split, classes), "mine")


def test_classes_that_share_a_name_are_told():
    split = Split(IMAGES.inputs, np.zeros(4, int))
    told = checked(Dataset(split, split, ["crane", "owl", "crane"], notes=("before",)), "mine").notes
    assert told == ("before", "several classes have one name, and are classes of their own: crane")
    assert checked(Dataset(split, split, ["crane", "owl"]), "mine").notes == ()


def test_other_sequences_are_lists():
    class Column(UserList):
        """As a table of another library has it."""

    split = Split(Column(["a film"] * 4), IMAGES.labels)
    assert checked(Dataset(split, split, CLASSES), "mine").train.inputs == ["a film"] * 4
    with pytest.raises(DataError, match="inputs are str instead of an array"):
        checked(Dataset(Split("text", IMAGES.labels), split, CLASSES), "mine")


def test_paths_and_strings_are_taken():
    for inputs in ([Path("a.png")] * 4, ["a film"] * 4, ("a.png", "and words", "", "é")):
        split = Split(inputs, IMAGES.labels)
        assert checked(Dataset(split, split, CLASSES), "mine").train.inputs == inputs


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (Split([], []), "the train split is empty"),
        (Split(IMAGES.inputs, [0, 1, 0]), "train has 4 inputs but 3 labels"),
        (Split(IMAGES.inputs, [0, 1, 0, 2]), "train labels run from 0 to 2, but 2 classes need 0 to 1"),
        (Split(IMAGES.inputs, [0, 1, -1, 1]), "train labels run from -1 to 1"),
        (Split(IMAGES.inputs, [0.0, 1.0, 0.0, 1.0]), "train labels must be whole numbers"),
        (Split(IMAGES.inputs, ["a", "b", "a", "b"]), "train labels must be whole numbers"),
        (Split(IMAGES.inputs, np.eye(4, 2, dtype=int)), "train labels must be whole numbers, one per sample"),
        (
            Split(IMAGES.inputs, np.eye(4, 3)),
            "train labels must be whole numbers, one per sample; or, where samples may",
        ),
        (
            Split(IMAGES.inputs, np.full((4, 2), 0.5)),
            "train labels hold 0.5: where samples may have several labels, each",
        ),
        (Split(IMAGES.inputs, np.full((4, 2), np.nan)), "train labels hold nan"),
        (Split(IMAGES.inputs, None), "train labels must be whole numbers, one per sample"),
        (Split(IMAGES.inputs, [[1], [1, 2]]), "train labels must be whole numbers, one per sample"),
        (
            Split(IMAGES.inputs / 255, IMAGES.labels),
            f"{IMAGE} not float64 of shape 4×8×8; if they go from 0 to 1, multiply them by 255",
        ),
        (Split(IMAGES.inputs > 0, IMAGES.labels), f"{IMAGE} not bool of shape 4×8×8"),
        (Split(IMAGES.inputs.reshape(4, 64), IMAGES.labels), f"{IMAGE} not uint8 of shape 4×64, in train."),
        (
            Split(np.zeros((4, 8, 8, 3), np.uint8), IMAGES.labels),
            f"{IMAGE} channels first, not uint8 of shape 4×8×8×3; yours look like N×H×W×C: transpose them by",
        ),
        (Split(np.zeros((4, 0, 8), np.uint8), IMAGES.labels), f"{IMAGE} not uint8 of shape 4×0×8"),
        (Split(np.array(["a"] * 4), IMAGES.labels), f"{IMAGE} not <U1 of shape 4; texts are a list of strings"),
        (
            Split([*IMAGES.inputs], IMAGES.labels),
            "input 0 is ndarray, as are 3 others; all must be str, all pathlib.Path",
        ),
        (Split(["a", "b", None, "d"], IMAGES.labels), "input 2 is NoneType; all must be str"),
        (Split([Path("a.png"), "b", "c", "d"], IMAGES.labels), "input 1 is str, as are 2 others; all must be str, all"),
        (Split([b"a"] * 4, IMAGES.labels), "input 0 is bytes"),
        (Split(["a\ud800", "b", "c", "d"], IMAGES.labels), "input 0 holds half of a character"),
        (Split(["a.png", "b.JPG"] * 2, IMAGES.labels), "inputs such as 'a.png' look like names of image files: give"),
        (
            Split((image for image in IMAGES.inputs), IMAGES.labels),
            "inputs are generator instead of an array of images",
        ),
        (Split([], IMAGES.labels), "train has 0 inputs but 4 labels"),
        (Split(["a"] * 4, IMAGES.labels), "train and test inputs are of two kinds: images and text"),
    ],
)
def test_data_that_does_not_fit_is_refused_with_the_name_of_its_loader(split, message):
    with pytest.raises(DataError) as caught:
        checked(Dataset(split, IMAGES, CLASSES), "mine")
    assert str(caught.value).startswith(f"mine: {message}")


def test_a_loader_that_returns_something_else_is_told_what_to_return():
    with pytest.raises(DataError, match=r"mine returned tuple; a loader returns prunebench\.Dataset\."):
        checked((IMAGES, IMAGES), "mine")


@pytest.mark.parametrize("kind", [bool, np.float32, np.float64])
def test_samples_may_have_several_labels_or_none(kind):
    split = Split(IMAGES.inputs, np.array([[0, 0], [1, 1], [1, 0], [0, 1]], kind))
    dataset = checked(Dataset(split, split, CLASSES), "mine")
    assert (dataset.is_multi_label, dataset.train.labels.dtype, dataset.notes) == (True, np.float32, ())
    with pytest.raises(DataError, match="labels of train and test are of two shapes"):
        checked(Dataset(split, IMAGES, CLASSES), "mine")


def test_one_label_in_a_column_each_is_told():
    split = Split(IMAGES.inputs, np.eye(2)[[0, 1, 0, 1]])
    (told,) = checked(Dataset(split, split, CLASSES), "mine").notes
    assert told.startswith("every training sample has one label, though any number could be given")


@pytest.mark.parametrize("part", ["loss", "transform"])
def test_a_loss_and_a_transform_are_functions(part):
    with pytest.raises(DataError, match=f"mine: its {part} is float; give a function"):
        checked(Dataset(IMAGES, IMAGES, CLASSES, **{part: 0.5}), "mine")


def test_an_own_loss_is_told_of():
    (told,) = checked(Dataset(IMAGES, IMAGES, CLASSES, loss=abs), "mine").notes
    assert told == "trained, and reported as own loss, is builtins:abs"
