"""What was asked to go has a name, in words and in names of files, and never that of another."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunebench.config import RunConfig, deciding
from prunebench.experiment.resolve import resolve
from prunebench.results.amounts import asked, counted, in_file_names, percent_left
from prunebench.results.settings import settings_of

UNSTRUCTURED = {"method": "unstructured", "criterion": "l1", "sparsity_schedule": "geometric"}

AMOUNTS = [
    ({"fraction": 0.1}, "0.1", ""),
    ({"fraction": None}, "None", ""),
    ({"sparsity": 0.9, "iterations": 10}, "to 90 % sparsity in 10 steps", "sparsity-0.9-in-10"),
    ({"sparsity": 0.875, "iterations": 1}, "to 87.5 % sparsity in one step", "sparsity-0.875-in-1"),
    (
        {"sparsity": 0.9, "iterations": 10, "sparsity_schedule": "cubic"},
        "to 90 % sparsity in 10 steps, cubic",
        "sparsity-0.9-cubic-in-10",
    ),
    ({"compression": 10.0, "iterations": 5}, "to 1/10 of the weights in 5 steps", "compression-10-in-5"),
    (
        {"compression": 10.0, "iterations": 5, "method": "structured"},
        "to 1/10 of the parameters in 5 steps",
        "compression-10-in-5",
    ),
    ({"macs": 0.5, "iterations": 4, "method": "structured"}, "to 50 % of MACs in 4 steps", "macs-0.5-in-4"),
    ({"pattern": "2:4", "iterations": 1}, "2:4", "2-4"),
    ({"pattern": "16x16", "fraction": 0.1}, "16x16, 0.1", "16x16"),
    (
        {"pattern": "row", "sparsity": 0.5, "iterations": 2},
        "row, to 50 % sparsity in 2 steps",
        "row-sparsity-0.5-in-2",
    ),
]


@pytest.mark.parametrize(("settings", "words", "name"), AMOUNTS)
def test_what_was_asked_is_told_in_words_and_in_names_of_files(settings, words, name):
    assert asked({**UNSTRUCTURED, **settings}) == words
    assert in_file_names({**UNSTRUCTURED, **settings}) == name


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "sparsity": st.floats(1e-4, 1, exclude_max=True).map(lambda share: round(share, 8)),
                "sparsity_schedule": st.sampled_from(["geometric", "cubic", "linear"]),
                "iterations": st.integers(1, 1000),
                "pattern": st.sampled_from([None, "row", "4x1", "1x4"]),
            }
        ),
        min_size=2,
        max_size=2,
        unique_by=repr,
    )
)
def test_what_is_asked_otherwise_has_another_name(two):
    one, other = ({**UNSTRUCTURED, **settings} for settings in two)
    assert asked(one) != asked(other)
    assert in_file_names(one) != in_file_names(other)


def test_the_nominal_share_is_one_of_what_the_target_counts():
    assert counted({"macs": 0.5, "method": "structured"}) == "MACs"
    assert counted({"compression": 2.0, "method": "structured"}) == "parameters"
    assert counted({"compression": 2.0, "method": "unstructured"}) == ""
    assert counted({"sparsity": 0.5, "method": "structured"}) == counted({"fraction": 0.1}) == ""


def test_steps_on_the_way_to_a_target_never_share_a_file():
    settings = {"sparsity": 0.9, "sparsity_schedule": "cubic", "iterations": 300}
    left = [1 - 0.9 + 0.9 * (1 - step / 300) ** 3 for step in range(301)]
    assert len({percent_left(settings, share) for share in left}) == 301
    assert percent_left({"fraction": 0.1}, 0.53144) == "53.14"


def test_every_setting_that_says_how_much_goes_decides_a_run():
    assert {"fraction", "sparsity", "compression", "macs", "sparsity_schedule", "pattern"} <= set(deciding("pruning"))


def test_on_the_way_to_a_target_the_iterations_decide_and_no_fraction(tmp_path):
    def settings(**given):
        (found,) = settings_of([resolve(RunConfig(model="alexnet", runs_dir=str(tmp_path), **given)).run])
        return found

    plain = settings(fraction=0.2, iterations=3)
    assert (plain["fraction"], plain.get("iterations")) == (0.2, None)
    for target in ({"sparsity": 0.5}, {"compression": 2.0}, {"macs": 0.5}):
        found = settings(iterations=3, **target)
        assert (found.get("fraction"), found["iterations"]) == (None, 3)
    of = [settings(sparsity=0.5, iterations=count) for count in (2, 3)]
    assert all(one != other for one, other in combinations([plain, *of], 2))
