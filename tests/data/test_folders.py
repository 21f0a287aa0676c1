"""A part's folders: every image of every class, however deep, and a count of all that is passed over."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunebench.data.folders import SUFFIXES, read_annotated, read_part
from prunebench.errors import DataError


def put(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def names(part):
    return [path.relative_to(part.folder).as_posix() for path, _ in part.images]


def test_images_are_of_the_class_whose_folder_they_are_in_however_deep(tmp_path):
    put(tmp_path, "cat/1.png", "cat/a/b/2.JPG", "dog/images/3.jfif")
    part = read_part(tmp_path)
    assert names(part) == ["cat/1.png", "cat/a/b/2.JPG", "dog/images/3.jfif"]
    assert [name for _, name in part.images] == ["cat", "cat", "dog"]
    assert part.passed_over() == ""


@given(st.lists(st.sampled_from([f"{c}/{n}.png" for c in ("a", "a-b", "a b", "B") for n in (1, 10, 2)]), unique=True))
def test_images_of_one_level_are_in_the_order_of_their_paths(tmp_path_factory, chosen):
    folder = tmp_path_factory.mktemp("part")
    put(folder, *chosen)
    assert [path for path, _ in read_part(folder).images] == sorted(folder.glob("*/*"))


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".JPEG", ".Tif"])
def test_images_are_known_by_suffix_in_any_case(tmp_path, suffix):
    put(tmp_path, f"cat/1{suffix}")
    assert names(read_part(tmp_path)) == [f"cat/1{suffix}"]


def test_everything_that_is_passed_over_is_counted_with_the_reason(tmp_path):
    put(tmp_path, "cat/1.png", "cat/._1.png", "cat/.DS_Store", ".cache/1.png", "loose.png", "README.txt")
    put(tmp_path, "cat/a.gif", "cat/b.GIF", "cat/sub/c.txt", "cat/none", "@eaDir/1.jpg")
    (tmp_path / "cat" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "cat" / "above").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "cat" / "pipe.png")
    part = read_part(tmp_path)
    assert names(part) == ["cat/1.png"]
    assert part.classes == ("cat",)
    assert part.passed_over() == (
        "1 folders of the system (@eaDir 1), 3 hidden, 1 in no class's folder, 1 links to a folder above, "
        "1 links to nothing, 1 neither file nor folder, 5 of another suffix (.gif 2, .txt 2, none 1)"
    )


def test_links_to_files_and_folders_elsewhere_are_followed(tmp_path):
    put(tmp_path, "store/1.png")
    part = tmp_path / "train"
    (part / "cat").mkdir(parents=True)
    (part / "cat" / "one.png").symlink_to(tmp_path / "store" / "1.png")
    (part / "dog").symlink_to(tmp_path / "store")
    assert names(read_part(part)) == ["cat/one.png", "dog/1.png"]


def test_links_to_themselves_are_passed_over(tmp_path):
    (tmp_path / "cat").mkdir()
    for name in ("cat/self", "cat/self.png", "loop"):
        (tmp_path / name).symlink_to((tmp_path / name).name)
    part = read_part(tmp_path)
    assert (part.images, part.classes) == ((), ("cat",))
    assert part.passed_over() == "3 links to nothing"


def test_classes_without_an_image_are_known(tmp_path):
    put(tmp_path, "cat/1.png", "dog/1.txt")
    (tmp_path / "eel").mkdir()
    part = read_part(tmp_path)
    assert part.classes == ("cat", "dog", "eel")
    assert part.empty() == ["dog", "eel"]


def test_names_that_are_not_utf8_are_read(tmp_path):
    try:
        put(tmp_path, Path(os.fsdecode(b"c\xe9t/caf\xe9.png")))
    except OSError:
        pytest.skip("this disk takes UTF-8 alone")
    ((path, name),) = read_part(tmp_path).images
    assert path.is_file()
    assert os.fsencode(name) == b"c\xe9t"


def test_a_folder_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match=r"cannot be read: Permission denied\."):
        read_part(tmp_path)


def test_a_file_of_labels_says_which_class_images_are_of(tmp_path):
    put(tmp_path, "images/1.JPEG", "images/2.JPEG", "images/3.JPEG")
    labels = tmp_path / "val_annotations.txt"
    labels.write_text("2.JPEG\tn02\t0\t0\t62\t62\n1.JPEG\tn01\t0\t0\t62\t62\n")
    part = read_annotated(read_part(tmp_path), labels)
    assert [(path.name, name) for path, name in part.images] == [("1.JPEG", "n01"), ("2.JPEG", "n02")]
    assert part.classes == ("n01", "n02")
    assert part.labels == labels
    assert part.passed_over() == "1 not listed in val_annotations.txt"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1.JPEG\tn01\n9.JPEG\tn01\n", "names 1 images that are not in .*: 9.JPEG. Unpack the data again."),
        ("1.JPEG\tn01\n1.JPEG n01\n", r"val_annotations.txt:2: expected an image's name, a tab and its class; has '1"),
        ("1.JPEG\tn01\t0\n1.JPEG\tn02\n", r"val_annotations.txt:2: 1.JPEG is of n01 above, and of n02 here. Leave one"),
    ],
)
def test_labels_that_do_not_fit_the_images_are_refused(tmp_path, text, message):
    put(tmp_path, "images/1.JPEG")
    (tmp_path / "val_annotations.txt").write_text(text)
    with pytest.raises(DataError, match=message):
        read_annotated(read_part(tmp_path), tmp_path / "val_annotations.txt")
