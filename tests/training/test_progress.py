"""A mark says where a fit stands."""

import pytest

from prunebench.training.progress import Mark


@pytest.mark.parametrize(
    ("mark", "place"),
    [
        (Mark(), "after epoch 0 of 5"),
        (Mark(epoch=2, mean_loss=0.5), "after epoch 2 of 5"),
        (Mark(epoch=2, batch=7, loss=3.5, correct=2, samples=20), "after epoch 2 of 5, batch 7 of the next"),
    ],
)
def test_the_place_names_epoch_and_batch(mark, place):
    assert mark.place(5) == place
