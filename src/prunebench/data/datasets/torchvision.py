"""MNIST, Fashion-MNIST, CIFAR-10 and CIFAR-100 by torchvision: from `data_dir` if there, else downloaded.

CIFAR's files are compared with their published checksums whenever they are loaded, so their name says what they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from prunebench.data.dataset import Dataset, Split, about_to_download, register
from prunebench.errors import DataError
from prunebench.runs.files import remove_empty


def _load(kind: str, data_dir: Path) -> Dataset:
    import torchvision.datasets

    parts = [_part(getattr(torchvision.datasets, kind), data_dir, train) for train in (True, False)]
    train, test = (Split(_pixels(part.data), np.asarray(part.targets)) for part in parts)
    return Dataset(train, test, list(parts[0].classes))


def _part(kind: Any, data_dir: Path, train: bool) -> Any:
    try:
        return kind(root=data_dir, train=train, download=False)
    except Exception as error:
        if "download=True" not in str(error):  # torchvision's answer to data that is not there
            raise DataError(
                f"{data_dir}: {kind.__name__} there is damaged ({error}). Delete it, and it is downloaded anew."
            ) from error
    about_to_download(kind.__name__)
    raw = data_dir / kind.__name__ / "raw"
    missing = [path for path in (raw, *raw.parents) if not path.exists()]
    try:
        return kind(root=data_dir, train=train, download=True)
    except Exception as error:
        for path in missing:
            remove_empty(path)
        reason = " ".join(str(error).split())
        raise DataError(
            f"{kind.__name__} is not in {data_dir} and could not be downloaded ({reason}). "
            f"Connect to the network, or point --data-dir at a copy."
        ) from error


def _files(kind: str, data_dir: Path) -> Iterable[Path]:
    """The files of a dataset that torchvision reads without knowing their contents: MNIST's and Fashion-MNIST's."""
    names = [f"{part}-{what}" for part in ("train", "t10k") for what in ("images-idx3-ubyte", "labels-idx1-ubyte")]
    paths = [data_dir / kind / "raw" / name for name in names]
    return paths if all(path.is_file() for path in paths) else []


def _pixels(data: Any) -> np.ndarray:
    pixels = np.asarray(data)
    return pixels if pixels.ndim == 3 else np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))


@register(
    "mnist",
    "handwritten digits, 28×28 grey, 60,000 train and 10,000 test",
    reads="images",
    files=partial(_files, "MNIST"),
    downloads=True,
)
def mnist(data_dir: Path) -> Dataset:
    """MNIST (LeCun et al. 1998)."""
    return _load("MNIST", data_dir)


@register(
    "fashion-mnist",
    "articles of clothing, 28×28 grey, 60,000 train and 10,000 test",
    reads="images",
    files=partial(_files, "FashionMNIST"),
    downloads=True,
)
def fashion_mnist(data_dir: Path) -> Dataset:
    """Fashion-MNIST (Xiao, Rasul, Vollgraf 2017)."""
    return _load("FashionMNIST", data_dir)


@register(
    "cifar10",
    "photos of 10 kinds, 32×32 colour, 50,000 train and 10,000 test",
    reads="images",
    defaults={"augment": True},
)
def cifar10(data_dir: Path) -> Dataset:
    """CIFAR-10 (Krizhevsky 2009)."""
    return _load("CIFAR10", data_dir)


@register(
    "cifar100",
    "photos of 100 kinds, 32×32 colour, 50,000 train and 10,000 test",
    reads="images",
    defaults={"augment": True},
)
def cifar100(data_dir: Path) -> Dataset:
    """CIFAR-100 (Krizhevsky 2009)."""
    return _load("CIFAR100", data_dir)
