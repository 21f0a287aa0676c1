"""The comparisons of a study are those that its file fixes, and what it cannot compare is told before it begins."""

from __future__ import annotations

import pytest

from prunebench.errors import ConfigError
from prunebench.studies.file import read_study
from prunebench.studies.record import read_record, record_of, write_study
from prunebench.studies.study import experiments_of

GRID = """
[base]
model = "resnet18"
iterations = 2
[grid]
seed = [0, 1]
[[experiments]]
method = "none"
[[experiments]]
method = "unstructured"
sparsity = [0.5, 0.9]
criterion = ["l1", "random", "taylor", "wanda"]
[[experiments]]
method = "structured"
macs = 0.5
criterion = ["l2", "random", "taylor"]
"""
AGAINST = '[comparisons]\nagainst = { unstructured = ["l1", "random"], structured = ["l2", "random"] }\n'


@pytest.fixture
def family(tmp_path):
    """Makes the comparisons of a study's text."""

    def make(text):
        (tmp_path / "s.toml").write_text(text, encoding="utf-8")
        study = read_study(tmp_path / "s.toml")
        return record_of(study, experiments_of(study, str(tmp_path / "runs"))).family

    return make


def test_a_table_is_a_model_with_a_budget_whatever_scope_or_samples_a_criterion_has(family):
    found = family(GRID.replace("[grid]", "calibration = 64\n[grid]") + AGAINST)
    assert [cell.title for cell in found.cells] == [
        "resnet18 on digits, unstructured, to 50 % sparsity in 2 steps",
        "resnet18 on digits, unstructured, to 90 % sparsity in 2 steps",
        "resnet18 on digits, structured, to 50 % of MACs in 2 steps",
    ]
    first, _, last = found.cells
    assert {name: len(keys) for name, keys in first.entries.items()} == dict.fromkeys(
        ["l1", "random", "taylor", "wanda"], 2
    )
    assert (first.against, last.against) == (("l1", "random"), ("l2", "random"))
    assert len(first.controls) == len(last.controls) == first.steps == 2
    assert (found.together, found.size) == ("budget", 5 + 5 + 3)


def test_random_controls_in_the_scopes_of_others_are_no_part_of_it(family):
    found = family(GRID.replace("[base]", "controls = true\n[base]", 1) + AGAINST)
    assert {len(keys) for cell in found.cells for keys in cell.entries.values()} == {2}
    assert {len(cell.controls) for cell in found.cells} == {2}


def test_one_list_is_for_every_method_and_some_criteria_may_be_named(family):
    found = family(GRID + '[comparisons]\nagainst = ["random"]\ncriteria = ["taylor"]\nfamily = "study"\n')
    assert [cell.pairs for cell in found.cells] == [[("taylor", "random")]] * 3
    assert {found.corrected_with(cell) for cell in found.cells} == {3}


def test_what_is_said_of_one_method_leaves_others_alone(family):
    found = family(GRID + '[comparisons]\nagainst = { structured = ["l2"] }\n')
    assert [cell.pairs for cell in found.cells] == [[("random", "l2"), ("taylor", "l2")]]


def test_a_setting_that_the_grid_varies_makes_tables_of_its_own(family):
    found = family(GRID.replace("[grid]", "[grid]\nfinetune_epochs = [1, 2]") + AGAINST)
    assert len(found.cells) == 6
    assert found.cells[0].title == "resnet18 on digits, unstructured, to 50 % sparsity in 2 steps, finetune_epochs 1"
    assert {len(cell.controls) for cell in found.cells} == {2}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("comparisons = 3\n", r"comparisons: expected a table, \[comparisons\]"),
        ('[comparisons]\nagaint = ["l1"]\n', r"\[comparisons\] has no 'againt'\. Did you mean 'against'\?"),
        ("[comparisons]\n", r"\[comparisons\] against: expected a list of criteria, such as \[\"l1\", \"random\"\]"),
        ('[comparisons]\nagainst = ["l9"]\n', r"\[comparisons\] against: There is no criterion 'l9'"),
        ('[comparisons]\nagainst = ["l1"]\ncriteria = ["lmap"]\n', r"criteria: .*'lmap'.*lamp"),
        ('[comparisons]\nagainst = { none = ["l1"] }\n', "'none' is no method that removes anything"),
        ('[comparisons]\nagainst = { quantised = ["l1"] }\n', "'quantised' is no method"),
        ('[comparisons]\nagainst = ["l1"]\nfamily = "all"\n', 'family: expected "budget" or "study", and not \'all\''),
        ('[comparisons]\nagainst = { depth = ["random"] }\n', "it has no runs of depth"),
        (
            '[comparisons]\nagainst = ["l1", "random"]\n',
            "structured, to 50 % of MACs in 2 steps has no runs of l1. There are: l2, random, taylor",
        ),
        ('[comparisons]\nagainst = ["random"]\ncriteria = ["fisher"]\n', "has no runs of fisher"),
        ('[comparisons]\nagainst = ["random"]\ncriteria = ["random"]\n', "nothing is compared with anything"),
    ],
)
def test_what_cannot_be_compared_is_told_in_a_line(table, message, family):
    with pytest.raises(ConfigError, match=message) as found:
        family(table + GRID if table.startswith("comparisons") else GRID + table)
    assert "\n" not in str(found.value)


def test_runs_that_end_at_steps_of_their_own_are_not_compared(family):
    text = '[base]\nmodel = "resnet18"\nuntil = ["params<=0.5"]\n[grid]\ncriterion = ["l1", "random"]\n'
    with pytest.raises(ConfigError, match=r"are of the last step, and with --until each run ends at one of its own"):
        family(text + '[comparisons]\nagainst = ["random"]\n')


def test_a_change_is_kept_once_a_run_was_finished(tmp_path, make_record, commit):
    path = tmp_path / "s.toml"

    def write(text):
        path.write_text(text, encoding="utf-8")
        study = read_study(path)
        planned = experiments_of(study, str(tmp_path / "runs"))
        write_study(study, planned)
        return planned, read_record(tmp_path / "runs" / "s").fixed

    write(GRID + '[comparisons]\nagainst = ["random"]\n')
    planned, (before,) = write(GRID + AGAINST)
    assert (before.finished, before.pairs) == (0, 13)
    assert before.text == (
        "unstructured: every criterion against l1, random; structured: every criterion against l2, random; "
        "corrected by model and budget"
    )
    commit(planned[0].run, *(make_record(step) for step in range(3)))
    assert write(GRID.replace("seed = [0, 1]", "seed = [0, 1, 2]") + AGAINST)[1] == (before,)  # of the same
    _, (first, second) = write(GRID + AGAINST + 'family = "study"\n')
    assert (first, second.finished) == (before, 1)
