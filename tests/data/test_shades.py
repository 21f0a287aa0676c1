"""Images that look nearly alike are told, and those that use their shades are not."""

import pytest

from prunebench.data.shades import FEW, faint


@pytest.mark.parametrize(("low", "high"), [(0, 255), (0, FEW), (200, 200 + FEW)])
def test_nothing_is_said_where_shades_are_used(low, high):
    assert not faint("train", 9, low, high)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (255, 255), (0, 0), (100, 99 + FEW)])
def test_few_shades_are_told_with_their_part_and_values(low, high):
    assert faint("train", 9, low, high).startswith(f"train: all values of 9 images are from {low} to {high} of 255,")
