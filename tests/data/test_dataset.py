import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunebench.data.checking import checked
from prunebench.data.dataset import (
    Dataset,
    Split,
    about_to_download,
    datasets,
    hold_out,
    no_downloads,
    stratified,
    subset,
)
from prunebench.errors import ConfigError, DataError, DownloadNeeded

BUNDLED = ["digits", "opinions", "reviews", "shapes"]
LABELS = st.lists(st.integers(0, 4), min_size=1, max_size=60).map(np.array)
IMAGES = Split(np.zeros((4, 8, 8), np.uint8), np.array([0, 1, 0, 1]))
CLASSES = ["a", "b"]


@pytest.fixture(scope="module", params=BUNDLED)
def bundled(request):
    entry = datasets.get(request.param)
    return entry, checked(entry.load(), entry.name)


def test_a_bundled_dataset_is_what_its_entry_says(bundled):
    entry, dataset = bundled
    assert dataset.kind == entry.reads
    numbers = {int(number.replace(",", "")) for number in re.findall(r"[\d,]*\d", entry.summary)}
    assert {len(dataset.train), len(dataset.test)} <= numbers


def test_a_bundled_dataset_is_the_same_every_time(bundled):
    entry, dataset = bundled
    again = entry.load()
    for first, second in ((dataset.train, again.train), (dataset.test, again.test)):
        assert np.array_equal(first.inputs, second.inputs)
        assert np.array_equal(first.labels, second.labels)


def test_a_bundled_dataset_holds_every_class_in_both_splits(bundled):
    _, dataset = bundled
    for split in (dataset.train, dataset.test):
        assert sorted(set(split.labels.tolist())) == list(range(len(dataset.classes)))


@pytest.mark.parametrize("name", datasets.names())
def test_every_dataset_finds_nothing_in_an_empty_folder_and_leaves_it_empty(name, tmp_path, no_network, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # retries of a download wait longer and longer
    entry = datasets.get(name)
    if name in BUNDLED:
        assert list(entry.files(tmp_path)) == []
        return
    with pytest.raises(DataError, match=re.escape(str(tmp_path))):
        entry.load(tmp_path)
    assert list(tmp_path.rglob("*")) == []


@given(LABELS, st.integers(1, 70))
def test_a_subset_is_stratified_exact_and_always_the_same(labels, count):
    chosen = stratified(labels, count)
    assert len(chosen) == min(count, len(labels))
    assert np.array_equal(chosen, np.unique(chosen))
    assert np.array_equal(chosen, stratified(labels, count))
    for kind in set(labels.tolist()):
        share = min(1, count / len(labels)) * np.sum(labels == kind)
        assert abs(np.sum(labels[chosen] == kind) - share) < 1


def test_what_rounding_leaves_over_goes_to_the_largest_remainder():
    labels = np.repeat([0, 1, 2], [70, 26, 14])
    assert np.bincount(labels[stratified(labels, 11)]).tolist() == [7, 3, 1]


@pytest.mark.parametrize("inputs", [np.arange(40).reshape(10, 2, 2), [f"sentence {i}" for i in range(10)]])
def test_a_subset_keeps_inputs_and_labels_together(inputs):
    labels = np.arange(10) % 2
    part = subset(Split(inputs, labels), np.array([1, 4, 7]))
    assert list(map(str, part.inputs)) == [str(inputs[i]) for i in (1, 4, 7)]
    assert part.labels.tolist() == [1, 0, 1]


def numbered(labels):
    """Samples that are their own position, as text."""
    return Dataset(Split([str(i) for i in range(len(labels))], labels), Split(["a test"], [0]), CLASSES)


def held(labels, share, seed=0):
    return [int(text) for text in hold_out(numbered(labels), share, seed).validation.inputs]


@given(st.lists(st.integers(0, 3), min_size=12, max_size=60).map(np.array), st.floats(0.1, 0.5), st.integers(0, 9))
def test_held_out_data_is_a_stratified_share_of_the_training_data_that_is_not_trained_on(labels, share, seed):
    labels = np.concatenate([labels, [0, 0, 1, 1, 2, 2, 3, 3]])
    whole = numbered(labels)
    parts = hold_out(whole, share, seed)
    out, kept = ([int(text) for text in split.inputs] for split in (parts.validation, parts.train))
    assert sorted([*out, *kept]) == list(range(len(labels)))
    assert (out, kept) == (sorted(out), sorted(kept))
    assert len(out) == round(share * len(labels))
    for split in (parts.validation, parts.train):
        assert split.labels.tolist() == labels[[int(text) for text in split.inputs]].tolist()
    for kind in range(4):
        assert abs(np.sum(labels[out] == kind) - np.sum(labels == kind) * len(out) / len(labels)) < 1
    assert parts.test is whole.test
    assert held(labels, share, seed) == out


def test_another_seed_holds_out_other_samples():
    labels = np.arange(60) % 3
    assert len({tuple(held(labels, 0.2, seed)) for seed in range(5)}) == 5


@pytest.mark.parametrize(
    ("labels", "share", "told"),
    [
        ([0, 1] * 20, 0.01, "of 40 training samples 0 would be held out"),
        ([0, 1] * 20, 0.99, "of 40 training samples 40 would be held out, and 0 of 2 classes"),
        ([0] * 19 + [1], 0.9, "of 20 training samples 18 would be held out, and 1 of 2 classes would be left"),
    ],
)
def test_too_little_on_either_side_is_refused(labels, share, told):
    with pytest.raises(ConfigError, match=f"^--validation {share}: {told}.* Give another share, or more data"):
        hold_out(numbered(np.array(labels)), share, 0)


@pytest.mark.parametrize("inputs", [np.zeros((4, 8, 8), np.uint8), [Path("a")] * 4, ["a film"] * 4])
def test_where_nothing_is_held_out_the_validation_data_is_empty(inputs):
    whole = Dataset(Split(inputs, IMAGES.labels), Split(inputs, IMAGES.labels), CLASSES)
    assert [len(split) for split in whole.splits.values()] == [4, 4, 0]
    assert [len(split) for split in hold_out(whole, 0.5, 0).splits.values()] == [2, 4, 2]


def test_paths_are_files_and_strings_are_text():
    assert Dataset(Split([Path("a.png")], [0]), Split([Path("b.png")], [0]), ["a"]).kind == "files"
    assert Dataset(Split(["a film"], [0]), Split(["a play"], [0]), ["a"]).kind == "text"


def test_a_users_loader_or_the_data_itself_is_an_entry():
    mine = Dataset(IMAGES, IMAGES, CLASSES)
    assert datasets.get(mine).load() is mine
    assert datasets.get(lambda: mine).load() is mine


@pytest.mark.parametrize(
    "change",
    [
        lambda data: Dataset(Split(data.train.inputs + 1, data.train.labels), data.test, data.classes),
        lambda data: Dataset(Split(data.train.inputs, 1 - data.train.labels), data.test, data.classes),
        lambda data: Dataset(data.train, subset(data.test, np.array([0, 1, 2])), data.classes),
        lambda data: Dataset(data.train, data.test, ["a", "c"]),
    ],
)
def test_a_digest_tells_inputs_labels_and_classes_apart(change):
    mine = Dataset(IMAGES, IMAGES, CLASSES)
    assert mine.digest() == Dataset(IMAGES, subset(IMAGES, np.arange(4)), list(CLASSES)).digest()
    assert change(mine).digest() != mine.digest()


def test_sentences_have_a_digest_too():
    one, other = (Split(["a", name], [0, 1]) for name in "bc")
    assert Dataset(one, one, CLASSES).digest() == Dataset(one, one, CLASSES).digest()
    assert Dataset(one, one, CLASSES).digest() != Dataset(one, other, CLASSES).digest()


def test_files_are_known_by_their_contents_and_not_by_their_names(tmp_path):
    for name, text in (("a", "1"), ("b", "2"), ("copy", "1")):
        (tmp_path / name).write_text(text)

    def digest(*names):
        split = Split([tmp_path / name for name in names], [0, 1])
        return Dataset(split, split, CLASSES).digest()

    assert digest("a", "b") == digest("copy", "b")
    assert digest("a", "b") != digest("b", "a")


def test_pixels_are_known_with_their_shape():
    def digest(*shape):
        split = Split(np.zeros(shape, np.uint8), [0, 1])
        return Dataset(split, split, CLASSES).digest()

    assert digest(2, 4, 8) != digest(2, 8, 4)


def test_a_download_is_told_or_refused(caplog):
    caplog.set_level("INFO", logger="prunebench")
    with no_downloads(), pytest.raises(DownloadNeeded, match=r"^Not on this machine yet: everything\.$"):
        about_to_download("everything")
    assert caplog.messages == []
    about_to_download("everything")
    assert caplog.messages == ["downloading everything, which is not on this machine yet"]


@pytest.mark.parametrize("name", ["sst2", "mnist", "fashion-mnist", "cifar10", "cifar100"])
def test_no_dataset_is_downloaded_where_that_is_refused(name, tmp_path, no_network):
    with no_downloads(), pytest.raises(DownloadNeeded, match=r"^Not on this machine yet: "):
        datasets.get(name).load(tmp_path)
    assert list(tmp_path.iterdir()) == []
