"""Expected calibration error: by hand, with intervals that hold what they should."""

from __future__ import annotations

import numpy as np
import pytest

from prunebench.results.calibration import calibration, calibration_error


def test_the_error_is_the_mean_gap_of_fifteen_bins():
    confidence, right = np.array([0.95, 0.95, 0.55, 0.55]), np.array([True, False, True, True])
    assert calibration_error(confidence, right) == pytest.approx((2 * 0.45 + 2 * 0.45) / 4)
    edge = np.array([1 / 15, 2 / 15, 1.0, 0.0])  # a bin holds its upper end, the first its lower one too
    assert calibration_error(edge, np.array([True, False, True, False])) == pytest.approx((1 - 1 / 15 + 2 / 15) / 4)


def test_what_is_sure_and_wrong_has_an_error_of_one():
    assert calibration_error(np.ones(10), np.zeros(10, bool)) == 1


def test_a_calibrated_model_may_have_no_error_and_a_bad_one_surely_has():
    draw = np.random.default_rng(3)
    sure = draw.uniform(0.5, 1, 400)
    well = sure, draw.random(400) < sure
    badly = sure, draw.random(400) < sure - 0.3
    found = calibration(well, badly)
    assert found.dense[1] == 0
    assert found.pruned[1] > 0.2
    assert found.change[1] > 0.15
    assert found.change[0] == pytest.approx(found.pruned[0] - found.dense[0])
    assert calibration(well, badly) == found
    same = calibration(well, well).change
    assert same[1] < 0 == same[0] < same[2]
