import numpy as np
import pytest

from prunebench.data.datasets.digits import load


@pytest.fixture(scope="module")
def digits():
    return load()


def test_sizes_are_those_of_the_description(digits):
    assert digits.train.inputs.shape == (1_437, 8, 8)
    assert digits.test.inputs.shape == (360, 8, 8)


def test_grey_values_use_the_whole_range(digits):
    assert digits.train.inputs.dtype == np.uint8
    assert (digits.train.inputs.min(), digits.train.inputs.max()) == (0, 255)


def test_both_splits_hold_the_same_share_of_each_digit(digits):
    whole = np.bincount(np.concatenate([digits.train.labels, digits.test.labels]))
    assert np.all(np.abs(np.bincount(digits.test.labels) - whole * 360 / 1_797) < 1)


def test_every_image_is_in_one_split(digits):
    from sklearn.datasets import load_digits

    scaled = np.round(load_digits().images * (255 / 16)).astype(np.uint8)
    ours = np.concatenate([digits.train.inputs, digits.test.inputs])
    assert sorted(image.tobytes() for image in ours) == sorted(image.tobytes() for image in scaled)
