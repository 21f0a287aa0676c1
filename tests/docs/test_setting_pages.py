"""Every setting is told of once: what it means, what it may be, what it is if not given, what it decides."""

from __future__ import annotations

import re

import pytest

from prunebench.config import RunConfig, field_types, option_name
from prunebench.latency.config import EfficiencyConfig
from setting_pages import page

PAGE = page()


def facts(anchor: str) -> list[str]:
    """What is told of a setting in its last line, below what it means."""
    found = re.search(rf"\{{ #{anchor} \}}\n\n.{{5,}}\n\n(.*)\n\{{ \.facts \}}", PAGE)
    assert found is not None
    return found[1].split(" · ")


@pytest.mark.parametrize("name", field_types())
def test_every_setting_has_its_option_and_what_it_decides(name):
    option, *_, decides = facts(name)
    assert option == f"`{option_name(name)}`"
    assert decides in ("decides training", "decides pruning", "decides no result")
    assert PAGE.count(f"{{ #{name} }}") == 1


@pytest.mark.parametrize("name", field_types(EfficiencyConfig))
def test_every_setting_of_timing_is_there(name):
    assert facts(f"timing-{name}")[0] == f"`{option_name(name)}`"


@pytest.mark.parametrize(
    ("anchor", "told"),
    [
        ("finetune_warmup", ["a number at least 0 and below 1", "default: `0.0`"]),
        ("image_size", ["a whole number at least 1", "default: the model's or the data's, else `32`"]),
        ("dtype", ["`fp32`, `tf32`, `bf16`, `fp16`", "default: `fp32`"]),
        ("prune", ["several of `channels`, `neurons`, `heads`, `groups`, `experts`", "default: all"]),
        ("exclude", ["texts"]),
        ("mean", ["numbers", "default: the weights', else the data's"]),
        ("freeze", ["true or false", "default: `false`"]),
        ("model", ["a name, or in Python a function", "needed, here or in a file of settings, unless a run is named"]),
    ],
)
def test_what_a_setting_may_be_is_told_as_errors_tell_it(anchor, told):
    assert facts(anchor)[1:-1] == told


def test_bounds_and_defaults_of_timing_are_told():
    assert facts("timing-batch_sizes")[1:] == ["whole numbers", "default: `1, 4, 16, 64, 256`"]
    assert facts("timing-image_size")[1:] == ["a whole number at least 1", "default: as trained"]
    assert facts("timing-ci_width")[1:] == ["a number above 0", "default: `0.03`"]


def test_no_default_is_told_that_is_none():
    assert "`None`" not in PAGE
    assert set(RunConfig.__struct_fields__) == set(field_types())
