"""Runs that differ in nothing but how much was asked to go have names of their own wherever they are shown."""

from __future__ import annotations

import pytest

from prunebench.comparison.matching import matched
from prunebench.comparison.verdicts import compare
from prunebench.config import RunConfig
from prunebench.experiment.resolve import resolve
from prunebench.plots.drawing import draw
from prunebench.plots.naming import line_names, titles
from prunebench.plots.sources import gather
from prunebench.report.document import document
from prunebench.report.sources import gather as sources
from prunebench.results import matrices
from prunebench.results.curves import by_settings, curves_of, labels, timed_alike
from prunebench.results.matrix_files import Results, read
from prunebench.runs.overview import overview
from prunebench.runs.selection import select

AMOUNTS = (
    {"fraction": 0.2},
    {"sparsity": 0.9},
    {"sparsity": 0.8},
    {"sparsity": 0.9, "sparsity_schedule": "cubic"},
    {"sparsity": 0.9, "iterations": 4},
    {"compression": 4.0},
    {"pattern": "2:4", "iterations": 1},
    {"pattern": "16x16", "fraction": 0.2},
    {"pattern": "16x16", "sparsity": 0.9},
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Where the runs are, and their matrices."""
    return tmp_path_factory.mktemp("told_apart")


@pytest.fixture(scope="module")
def runs(place, make_record, commit):
    """A run per amount, of two pruned steps, in `runs`, and their matrices in `performance`."""
    return [made(amount, place, make_record, commit, method="unstructured", criterion="l1") for amount in AMOUNTS]


def made(amount, place, make_record, commit, **about):
    given = {"model": "resnet18", "iterations": 2, **about, **amount}
    run = resolve(RunConfig(**given, runs_dir=str(place / "runs"))).run
    records = [make_record(step, run=run.key, **about) for step in range(3)]
    commit(run, *records)
    matrices.write_steps(run, records, place / "performance")
    return run


def test_runs_that_ask_for_other_amounts_are_told_apart_everywhere(runs, place):
    count = len(AMOUNTS)
    assert len({row.differs for row in overview(runs)}) == count
    curves = curves_of(runs, ())
    assert len(by_settings(curves)) == len({timed_alike(run) for run in runs}) == count
    settings = [curve.settings for curve in curves]
    for name in (labels, titles, lambda of: line_names([[curve] for curve in curves])):
        assert len(set(name(settings))) == count
    assert len({matrices.stem(run.manifest) for run in runs}) == count
    assert len(list((place / "performance").glob("*_performance.txt"))) == count
    shown = document(sources(str(place / "runs")))
    assert len({group.label for group in shown.groups}) == count
    by_place = [gather([place / folder]).curves for folder in ("runs", "performance")]
    asked_for = [sorted(repr(sorted(curve.settings.items())) for curve in found) for found in by_place]
    assert asked_for[0] == asked_for[1]
    assert len(set(asked_for[0])) == count


def test_lines_and_titles_are_called_by_what_was_asked(runs):
    curves = {repr(amount): curve for amount, curve in zip(AMOUNTS, curves_of(runs, ()), strict=True)}
    groups = [[curve] for curve in curves.values()]
    assert line_names(groups) == [
        "20 % a step",
        "to 90 % sparsity in 2 steps",
        "to 80 % sparsity in 2 steps",
        "to 90 % sparsity in 2 steps, cubic",
        "to 90 % sparsity in 4 steps",
        "to 1/4 of the weights in 2 steps",
        "2:4",
        "16x16, 20 % a step",
        "16x16, to 90 % sparsity in 2 steps",
    ]
    assert titles([groups[3][0].settings]) == [
        "resnet18 on digits, unstructured, l1, to 90 % sparsity in 2 steps, cubic"
    ]


def test_what_is_compared_is_called_by_what_was_asked(runs, place):
    (match,) = matched(*(select(runs[at].key, place / "runs") for at in (0, 3)))
    assert match.names == ("0.2", "to 90 % sparsity in 2 steps, cubic")
    assert {(verdict.a, verdict.b) for verdict in compare(match.a, match.b)} == {match.names}


def test_a_target_is_compared_with_a_fraction_whatever_the_iterations_and_with_a_target_at_as_many(runs, place):
    found = matched(*(select(text, place / "runs") for text in ("fraction=0.2,pattern=None", "sparsity=0.9")))
    assert {match.names[1] for match in found} >= {"to 90 % sparsity in 2 steps", "to 90 % sparsity in 4 steps"}
    found = matched(*(select(text, place / "runs") for text in ("sparsity=0.8", "sparsity=0.9")))
    assert [match.names for match in found] == [("to 80 % sparsity in 2 steps", "to 90 % sparsity in 2 steps")]


def test_a_filter_takes_the_runs_that_were_asked_for_it(runs, place):
    def found(text):
        return {run.key for run in select(text, place / "runs").runs}

    by_key = {run.key: amount for run, amount in zip(runs, AMOUNTS, strict=True)}
    assert [by_key[key] for key in found("sparsity=0.8")] == [{"sparsity": 0.8}]
    assert [by_key[key] for key in found("sparsity=0.9,iterations=4")] == [{"sparsity": 0.9, "iterations": 4}]
    assert all("fraction" in by_key[key] for key in found("fraction=0.2"))
    assert len(found("fraction=None")) == len([amount for amount in AMOUNTS if "fraction" not in amount])


def test_pictures_have_names_of_their_own_and_lines_for_all(runs, place):
    every = gather([place / "runs"])
    some = [
        curve for curve in every.curves if curve.settings.get("sparsity") == 0.9 and "pattern" not in curve.settings
    ]
    pictures = draw(Results(curves=tuple(some)), ["layers", "fractions"])
    names = {picture.name for picture in pictures}
    assert names == {
        "fractions-resnet18-digits-unstructured-l1",
        *(f"layers-resnet18-digits-unstructured-sparsity-0-9-{end}" for end in ("in-2", "in-4", "cubic-in-2")),
    }


def test_the_counts_of_a_run_go_to_it_alone(tmp_path, make_record, commit):
    """Files of runs that differ in their target lie beside each other, and each is of one of them."""
    for amount in ({"macs": 0.5}, {"macs": 0.4}, {"fraction": 0.1}):
        made(amount, tmp_path, make_record, commit)
    found = read([tmp_path / "performance"])
    assert len(found.counts) == len(found.curves) == 3
    assert all("params" in curve.axes for curve in found.curves)
    assert sorted(str(curve.settings.get("macs")) for curve in found.curves) == ["0.4", "0.5", "None"]
