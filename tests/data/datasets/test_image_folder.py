import re

import numpy as np
import pytest
from PIL import Image

from prunebench.data.checking import checked
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
    assert load(pets).test.labels == [1]
    (pets / "test" / "cat").rmdir()
    assert load(pets).test.labels == [1]


def test_an_unknown_class_in_the_test_set_is_refused(pets):
    put(pets / "test" / "horse", "1.png")
    with pytest.raises(DataError, match=r"holds classes that train does not: horse\. Give both splits the same"):
        load(pets)


@pytest.mark.parametrize("name", ["Cafe\u0301", "caf\u00e9 "])
def test_a_class_of_the_test_set_that_is_written_otherwise_is_told(pets, name):
    put(pets / "train" / "caf\u00e9", "1.png")
    put(pets / "test" / name, "1.png")
    with pytest.raises(DataError, match="only in how it is written") as caught:
        load(pets)
    assert f"{name!a} differs from 'caf\\xe9'" in str(caught.value)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("test", "has no folder test or val; expected train/<class>/* and test/<class>/* there."),
        ("train", "has no folder train; expected train/<class>/* and test/<class>/* there."),
        ("test", "Move part of each class of train to test."),
        (".", "does not exist: give the folder that holds the data with --data-dir."),
    ],
)
def test_a_missing_folder_is_named_with_the_layout_that_is_expected(pets, tmp_path_factory, missing, message):
    (pets / missing).resolve().rename(tmp_path_factory.mktemp("away") / "folder")
    with pytest.raises(DataError, match=re.escape(message)):
        load(pets)


def test_classes_without_parts_are_told_how_to_split(pets):
    (pets / "test").rename(pets / "train" / "eel")
    with pytest.raises(
        DataError, match=r"If cat, dog, eel are classes, put most images of each into train/<class>, the"
    ):
        load(pets / "train")


def test_folders_whose_names_are_written_otherwise_are_told(pets):
    (pets / "train").rename(pets / "Train")
    (pets / "test").rename(pets / "Test")
    with pytest.raises(DataError, match=r"Rename Test to test and Train to train\."):
        load(pets)


def test_a_file_is_no_folder_of_data(pets):
    with pytest.raises(DataError, match=rf"is a file: give the folder that it is in, --data-dir {pets / 'train'}\."):
        load(pets / "train" / "README")


@pytest.mark.parametrize("name", ["val", "valid"])
def test_the_test_set_is_told_where_it_is_called_otherwise(pets, name):
    (pets / "test").rename(pets / name)
    assert load(pets).notes[-1] == f"the test set is {name}."


def test_what_images_end_with_is_told_once(pets):
    (pets / "test" / "cat" / "notes.txt").write_text("no image")
    assert [note.count("Images end with") for note in load(pets).notes] == [0, 1]


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_split_without_images_is_refused(pets, split):
    for image in (pets / split).glob("*/*"):
        image.unlink()
    with pytest.raises(DataError, match=f"{split} holds no images; a layout such as {split}/cat/1.jpg"):
        load(pets)


def test_images_are_found_however_deep(pets):
    put(pets / "train" / "cat" / "images" / "2024", "3.jfif")
    assert names(load(pets).train) == ["cat/1.png", "cat/2.JPEG", "2024/3.jfif", "dog/1.png"]
    assert load(pets).train.labels == [0, 0, 0, 1]


def test_what_is_passed_over_is_told_with_reasons_and_what_is_read(pets):
    (pets / "train" / "cat" / "._1.png").write_bytes(b"resource fork")
    assert load(pets).notes == (
        "train: passed over 1 hidden, 2 of another suffix (.txt 1, none 1). Images end with .jpg .jpeg .jfif .png .ppm "
        ".pgm .bmp .tif .tiff .webp.",
    )


@pytest.mark.parametrize("left", ["nothing", "a text"])
def test_a_class_without_an_image_to_train_on_is_refused(pets, left):
    (pets / "train" / "eel").mkdir()
    if left == "a text":
        (pets / "train" / "eel" / "1.txt").write_text("no image")
    with pytest.raises(DataError, match=r"1 of 3 folders without an image, so nothing .*: eel \(passed over in .*txt"):
        load(pets)


@pytest.mark.parametrize("test", [("1.png",), ("unknown/1.png",), ("images/1.png",), ("cat/note.txt",), ()])
def test_a_test_folder_without_labels_is_not_taken_where_val_has_some(pets, test):
    (pets / "test").rename(pets / "val")
    (pets / "test").mkdir()
    for name in test:
        put((pets / "test" / name).parent, "1.png") if name.endswith("png") else (pets / "test" / "cat").mkdir()
    dataset = load(pets)
    assert names(dataset.test) == ["cat/9.png", "dog/8.bmp"]
    assert list(images(pets)) == [*dataset.train.inputs, *dataset.test.inputs]
    assert dataset.notes[-1] == "the test set is val; not read: test (test holds no folder of a class of train)."


def test_a_test_folder_without_labels_alone_is_refused_with_the_reason(pets):
    for name in ("cat/9.png", "dog/8.bmp"):
        (pets / "test" / name).rename(pets / "test" / name[4:])
    with pytest.raises(
        DataError, match=r"test holds no images; .* 2 in no class's folder\. Without a class's folder, im"
    ):
        load(pets)
    (pets / "test" / "cat").rename(pets / "test" / "unknown")
    (pets / "test" / "9.png").rename(pets / "test" / "unknown" / "9.png")
    with pytest.raises(DataError, match=r"test holds classes that train does not: unknown\."):
        load(pets)


def test_classes_that_differ_only_in_how_they_are_written_are_told(pets):
    put(pets / "train" / "Cat", "1.png")
    put(pets / "train" / "Dog\n", "1.png")
    assert load(pets).notes[-2:] == (
        "the classes Cat and cat differ only in how they are written.",
        r"the classes Dog\n and dog differ only in how they are written.",
    )


def test_what_stands_beside_the_splits_is_told(pets):
    put(pets / "val" / "cat", "1.png")
    (pets / "extra").mkdir()
    assert load(pets).notes[-1] == "the test set is test; not read: extra, val."


def test_tiny_imagenet_loads_as_it_is_published(tmp_path):
    for wnid in ("n02", "n01"):
        put(tmp_path / "train" / wnid / "images", f"{wnid}_0.JPEG", f"{wnid}_1.JPEG")
        (tmp_path / "train" / wnid / f"{wnid}_boxes.txt").write_text("")
    put(tmp_path / "val" / "images", "val_0.JPEG", "val_1.JPEG")
    labels = tmp_path / "val" / "val_annotations.txt"
    labels.write_text("val_0.JPEG\tn02\t0\t32\t44\t62\nval_1.JPEG\tn01\t2\t3\t4\t6\n")
    put(tmp_path / "test" / "images", "test_0.JPEG")
    (tmp_path / "wnids.txt").write_text("n01\nn02\n")
    dataset = checked(load(tmp_path), "image-folder")
    assert dataset.classes == ["n01", "n02"]
    assert dataset.train.labels.tolist() == [0, 0, 1, 1]
    assert names(dataset.test) == ["images/val_0.JPEG", "images/val_1.JPEG"]
    assert dataset.test.labels.tolist() == [1, 0]
    assert list(images(tmp_path)) == [*dataset.train.inputs, *dataset.test.inputs, labels]
    assert dataset.notes[1:] == (
        "val: classes are those of val_annotations.txt.",
        "the test set is val; not read: test (test holds no folder of a class of train).",
    )


def test_a_folder_above_the_right_one_is_told(pets):
    inside = pets / "pets-v2"
    inside.mkdir()
    for name in ("train", "test"):
        (pets / name).rename(inside / name)
    with pytest.raises(
        DataError, match=rf"has no folder train, and none test or val; .*\. Did you mean --data-dir {inside}\?"
    ):
        load(pets)
