"""scikit-learn's bundled handwritten digits: 1,797 grey images of 8×8 in 10 classes."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from prunebench.data.dataset import Dataset, Split, register, stratified

TEST_SAMPLES = 360


@register("digits", "scikit-learn's handwritten digits, 8×8 grey, 1,437 train and 360 test", reads="images")
def load() -> Dataset:
    """The digits with a fixed stratified split; grey values 0 to 16 are stretched to 0 to 255.

    Source: UCI Optical Recognition of Handwritten Digits, the test part, as bundled by scikit-learn.
    """
    pixels, labels = _bundled()
    images = np.round(pixels.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    test = stratified(labels, TEST_SAMPLES)
    train = np.setdiff1d(np.arange(len(labels)), test)
    return Dataset(Split(images[train], labels[train]), Split(images[test], labels[test]), [str(d) for d in range(10)])


def _bundled() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Grey values, 0 to 16, of shape (samples, 64), and labels, read from the library's file: importing it, with pandas
    and scipy.stats, takes 115 MB and a second."""
    found = importlib.util.find_spec("sklearn")
    for folder in (found and found.submodule_search_locations) or ():
        if (path := Path(folder, "datasets", "data", "digits.csv.gz")).is_file():
            table = np.loadtxt(path, delimiter=",")
            return table[:, :-1], table[:, -1].astype(int)
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    return pixels, labels
