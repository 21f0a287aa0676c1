import re

import numpy as np
import pytest
from PIL import Image

from prunebench.data.dataset import checked
from prunebench.data.datasets.image_folder import images, load
from prunebench.errors import DataError


def put(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.fromarray(np.zeros((6, 5, 3), np.uint8)).save(folder / name)


@pytest.fixture
def pets(tmp_path):
    put(tmp_path / "train" / "cat", "1.png", "2.JPEG")
    put(tmp_path / "train" / "dog", "1.png")
    put(tmp_path / "test" / "cat", "9.png")
    put(tmp_path / "test" / "dog", "8.bmp")
    (tmp_path / "train" / "cat" / "notes.txt").write_text("no image")
    (tmp_path / "train" / "README").write_text("no class")
    return tmp_path


def names(split):
    return [f"{path.parent.name}/{path.name}" for path in split.inputs]


def test_folders_are_classes_and_only_images_count(pets):
    dataset = checked(load(pets), "image-folder")
    assert dataset.kind == "files"
    assert dataset.classes == ["cat", "dog"]
    assert names(dataset.train) == ["cat/1.png", "cat/2.JPEG", "dog/1.png"]
    assert dataset.train.labels.tolist() == [0, 0, 1]
    assert dataset.test.labels.tolist() == [0, 1]


def test_the_listing_is_every_image_that_is_read(pets):
    dataset = load(pets)
    assert list(images(pets)) == [*dataset.train.inputs, *dataset.test.inputs]


def test_hidden_folders_hold_nothing(pets):
    before = names(load(pets).train)
    for split in ("train", "test"):
        put(pets / split / ".thumbnails", "1.png")
    dataset = load(pets)
    assert dataset.classes == ["cat", "dog"]
    assert names(dataset.train) == before
    assert list(images(pets)) == [*dataset.train.inputs, *dataset.test.inputs]


def test_val_is_the_test_set_where_there_is_no_test(pets):
    put(pets / "val" / "cat", "5.png")
    assert names(load(pets).test) == ["cat/9.png", "dog/8.bmp"]
    (pets / "test").rename(pets / "elsewhere")
    assert names(load(pets).test) == ["cat/5.png"]


def test_a_test_set_may_lack_a_class(pets):
    (pets / "test" / "cat" / "9.png").unlink()
    (pets / "test" / "cat").rmdir()
    assert load(pets).test.labels == [1]


def test_an_unknown_class_in_the_test_set_is_refused(pets):
    put(pets / "test" / "horse", "1.png")
    with pytest.raises(DataError, match=r"holds classes that train does not: horse\. Give both splits the same"):
        load(pets)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("test", "has no folder test or val; expected train/<class>/* and test/<class>/* there."),
        ("train", "train is not there; expected "),
        (".", "has no folder test or val"),
    ],
)
def test_a_missing_folder_is_named_with_the_layout_that_is_expected(pets, tmp_path_factory, missing, message):
    (pets / missing).resolve().rename(tmp_path_factory.mktemp("away") / "folder")
    with pytest.raises(DataError, match=re.escape(message)):
        load(pets)


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_split_without_images_is_refused(pets, split):
    for image in (pets / split).glob("*/*"):
        image.unlink()
    with pytest.raises(DataError, match=f"{split} holds no images; a layout such as {split}/cat/1.jpg"):
        load(pets)
