import numpy as np
import pytest

from prunebench.data.dataset import Dataset
from prunebench.data.datasets.shapes import OUTLINES, SIDE, load

DIGEST = "7abe18e35d93ced3"


@pytest.fixture(scope="module")
def shapes() -> Dataset:
    return load()


def test_sizes_are_those_of_the_description(shapes):
    assert shapes.train.inputs.shape == shapes.test.inputs.shape == (2_000, 3, SIDE, SIDE)
    assert shapes.train.inputs.dtype == np.uint8


def test_each_split_holds_as_many_of_each_shape(shapes):
    for split in (shapes.train, shapes.test):
        assert np.bincount(split.labels).tolist() == [200] * len(OUTLINES)


def test_the_bytes_are_those_that_figures_were_measured_on(shapes):
    assert shapes.digest().startswith(DIGEST)


def test_no_picture_occurs_twice(shapes):
    assert len({image.tobytes() for split in (shapes.train, shapes.test) for image in split.inputs}) == 4_000


def test_labels_do_not_follow_the_order_of_the_samples(shapes):
    changes = np.count_nonzero(np.diff(shapes.train.labels))
    assert changes == pytest.approx(1_800, rel=0.05)


def test_grey_values_use_the_whole_range(shapes):
    assert (shapes.train.inputs.min(), shapes.train.inputs.max()) == (0, 255)


def test_mean_colours_do_not_tell_the_shape(shapes):
    """Each test picture gets the class of the training pictures whose mean colour is nearest to its own."""
    train, test = (split.inputs.mean((2, 3)) for split in (shapes.train, shapes.test))
    nearest = ((test[:, None] - train) ** 2).sum(2).argmin(1)
    assert np.mean(shapes.train.labels[nearest] == shapes.test.labels) < 0.15


@pytest.mark.parametrize("name", OUTLINES)
def test_a_shape_lies_around_its_centre_and_no_further_than_its_radius(name):
    at = np.linspace(-2, 2, 81, dtype=np.float32)
    x, y = np.broadcast_arrays(at[None, :], at[:, None])
    inside = OUTLINES[name](x, y) < 0
    assert 0.05 < inside[20:61, 20:61].mean() < 0.75
    assert not inside[np.hypot(x, y) > 1.25].any()
