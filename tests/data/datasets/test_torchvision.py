import hashlib
import pickle
import struct

import numpy as np
import pytest
import torchvision.datasets

from prunebench.data.checking import checked
from prunebench.data.dataset import datasets
from prunebench.errors import DataError

KINDS = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "cifar10": "CIFAR10", "cifar100": "CIFAR100"}
TRAIN, TEST = 10, 3


def write_idx(folder, name, images, labels):
    """LeCun's idx format: a magic number, the sizes, and the bytes; numbers are big-endian."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}-images-idx3-ubyte").write_bytes(struct.pack(">4i", 2051, *images.shape) + images.tobytes())
    (folder / f"{name}-labels-idx1-ubyte").write_bytes(struct.pack(">2i", 2049, len(labels)) + labels.tobytes())


def write_cifar(root, kind, parts, monkeypatch):
    """CIFAR's python version: pickled batches of flat images; torchvision is told the digests of these files."""

    def put(name, content):
        path = root / kind.base_folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(pickle.dumps(content))
        return hashlib.md5(path.read_bytes()).hexdigest()

    labels_key = "labels" if kind is torchvision.datasets.CIFAR10 else "fine_labels"
    for which, (images, labels) in parts.items():
        names = [name for name, _ in getattr(kind, f"{which}_list")]
        digests = []
        for i, name in enumerate(names):
            flat = images[i :: len(names)].reshape(-1, 3 * 32 * 32)
            digests.append([name, put(name, {"data": flat, labels_key: labels[i :: len(names)].tolist()})])
        monkeypatch.setattr(kind, f"{which}_list", digests)
    names = [f"kind {i}" for i in range(100 if labels_key == "fine_labels" else 10)]
    digest = put(kind.meta["filename"], {kind.meta["key"]: names})
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": digest})


@pytest.fixture(params=KINDS)
def on_disk(request, tmp_path, monkeypatch):
    """The name of a dataset of which a few samples lie in `tmp_path`, and those samples."""
    draw = np.random.default_rng(0)
    shape = (3, 32, 32) if "cifar" in request.param else (28, 28)
    parts = {
        which: (draw.integers(0, 256, (count, *shape), np.uint8), draw.integers(0, 10, count, np.uint8))
        for which, count in (("train", TRAIN), ("test", TEST))
    }
    kind = getattr(torchvision.datasets, KINDS[request.param])
    if "cifar" in request.param:
        write_cifar(tmp_path, kind, parts, monkeypatch)
    else:
        for which, name in (("train", "train"), ("test", "t10k")):
            write_idx(tmp_path / kind.__name__ / "raw", name, *parts[which])
    return request.param, parts


def test_pixels_and_labels_are_those_of_the_files(on_disk, tmp_path, no_network):
    name, parts = on_disk
    dataset = checked(datasets.get(name).load(tmp_path), name)
    assert dataset.kind == "images"
    assert len(dataset.classes) == (100 if name == "cifar100" else 10)
    for split, which in ((dataset.train, "train"), (dataset.test, "test")):
        images, labels = parts[which]
        written = [image.tobytes() for image in images]
        places = [written.index(image.tobytes()) for image in split.inputs]
        assert sorted(places) == list(range(len(images)))
        assert split.labels.tolist() == labels[places].tolist()


@pytest.mark.parametrize("name", KINDS)
def test_a_download_without_network_is_told_and_leaves_nothing_behind(name, tmp_path, no_network):
    folder = tmp_path / "new" / "data"
    with pytest.raises(DataError, match=r"could not be downloaded.*Connect to the network, or point --data-dir"):
        datasets.get(name).load(folder)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", KINDS)
def test_a_failed_download_touches_no_folder_of_the_users(name, tmp_path, no_network):
    (tmp_path / "kept" / "empty").mkdir(parents=True)
    with pytest.raises(DataError):
        datasets.get(name).load(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["empty", "kept"]


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: b"", lambda data: b"\0" * len(data)])
def test_a_damaged_file_is_named_as_such(damage, tmp_path, no_network):
    images = np.zeros((TRAIN, 28, 28), np.uint8)
    for name in ("train", "t10k"):
        write_idx(tmp_path / "MNIST" / "raw", name, images, np.zeros(TRAIN, np.uint8))
    file = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(DataError, match="MNIST there is damaged"):
        datasets.get("mnist").load(tmp_path)
    assert file.exists()


def test_fashion_mnist_is_complete(real_data):
    dataset = checked(datasets.get("fashion-mnist").load(real_data), "fashion-mnist")
    assert (len(dataset.train), len(dataset.test)) == (60_000, 10_000)
    assert np.bincount(dataset.test.labels).tolist() == [1_000] * 10
