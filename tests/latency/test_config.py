"""EfficiencyConfig is validated when it is made."""

from __future__ import annotations

import pytest

from prunebench import EfficiencyConfig
from prunebench.errors import ConfigError


@pytest.mark.parametrize(
    ("values", "option"),
    [
        ({"batch_sizes": ()}, "--batch-sizes"),
        ({"batch_sizes": (4, 0)}, "--batch-sizes"),
        ({"batch_sizes": (4, "8")}, "--batch-sizes"),
        ({"time_budget": 0}, "--time-budget"),
        ({"time_budget": "long"}, "--time-budget"),
        ({"ci_width": 0}, "--ci-width"),
        ({"dtype": "fp8"}, "--dtype"),
        ({"steps": (-1,)}, "--steps"),
        ({"int8_samples": 0}, "--int8-samples"),
        ({"image_size": 0}, "--image-size"),
    ],
)
def test_what_is_out_of_bounds_is_refused_with_the_name_of_its_option(values, option):
    with pytest.raises(ConfigError, match=option):
        EfficiencyConfig(**values)


def test_defaults_are_those_of_the_original_study():
    assert EfficiencyConfig().batch_sizes == (1, 4, 16, 64, 256)
    assert EfficiencyConfig().time_budget == 60
    assert EfficiencyConfig().ci_width == 0.03


def test_which_steps_are_timed_does_not_decide_how_they_are():
    assert EfficiencyConfig(steps=(1, 2)).settings() == EfficiencyConfig().settings()
    assert "int8_samples" not in EfficiencyConfig().settings()  # so that earlier timings are found
    assert EfficiencyConfig(dtype="int8").settings()["int8_samples"] == 256
    assert EfficiencyConfig(backend="openvino").settings() != EfficiencyConfig().settings()
