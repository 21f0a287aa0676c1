"""What decides runs; functions of one file, and files of one name, are told apart wherever they are shown."""

from __future__ import annotations

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunebench.comparison.matching import matched
from prunebench.config import RunConfig
from prunebench.experiment.resolve import resolve
from prunebench.plots.drawing import draw
from prunebench.plots.sources import gather
from prunebench.report import sources as report
from prunebench.report.document import document
from prunebench.results import matrices
from prunebench.results.curves import by_settings, curves_of, timed_alike
from prunebench.results.settings import called, settings_of, told_apart, with_data
from prunebench.runs.index import all_runs
from prunebench.runs.overview import overview
from prunebench.runs.run import Run
from prunebench.runs.selection import select


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("resnet18", "resnet18"),
        ("/some/where/net.py:small", "net-small"),
        ("net.py:large", "net-large"),
        ("a/net.py:small", "a-net-small"),
        ("package.net:small", "net-small"),
        ("torchvision.models:resnet34", "models-resnet34"),
        ("<lambda>", "lambda"),
        ("<wide(3, width=8)>", "wide-3--width-8-"),
        ("latency@4 openvino", "latency-4-openvino"),
    ],
)
def test_a_function_is_called_by_its_file_and_its_own_name(name, short):
    assert called(name) == short


@given(st.text(st.characters(codec="utf-8") | st.sampled_from("./\\:~<>\0"), max_size=40))
def test_whatever_a_reference_is_it_is_called_by_no_path(name):
    assert re.fullmatch(r"[\w-]*", called(name))


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ([("resnet18", None), ("vgg16", None), (None, None)], ["resnet18", "vgg16", None]),
        ([("/x/net.py:f", "1"), ("/x/net.py:g", "1")], ["net.py:f", "net.py:g"]),
        ([("/x/a/net.py:f", "1"), ("/x/b/net.py:f", "2")], ["a/net.py:f", "b/net.py:f"]),
        ([("/x/a/c/net.py:f", "1"), ("/x/b/c/net.py:f", "2")], ["a/c/net.py:f", "b/c/net.py:f"]),
        ([("/net.py:f", "1"), ("/x/net.py:f", "2")], ["//net.py:f", "x/net.py:f"]),
        ([("/x/a/net.py:f", "1"), ("/x/b/net.py:f", "1")], ["net.py:f"] * 2),  # the same file elsewhere
        ([("/x/a/net.py:f", "1"), ("/x/a/net.py:f", "2")], ["net.py:f"] * 2),  # it changed in its place
        ([("/x/a/net.py:f", "1"), ("/x/b/net.py:f", "1"), ("/x/c/net.py:f", "2")], ["a/net.py:f"] * 2 + ["c/net.py:f"]),
        ([("/x/a/net.py:f", None), ("/x/b/net.py:f", None)], ["net.py:f"] * 2),  # not known
        ([("/x//net.py:f", "1"), ("/x/net.py:f", "2")], ["//x/net.py:f"] * 2),  # no path that was ever written
    ],
)
def test_files_of_one_name_are_told_apart_by_their_folders_and_by_no_more_than_it_takes(written, told):
    assert told_apart(written) == told
    assert told_apart(written[::-1]) == told[::-1]


SMALL = "def small(classes):\n    pass\n\n\ndef large(classes):\n    pass\n"


@pytest.fixture
def made(tmp_path, make_record, commit, monkeypatch):
    """Makes a run of a model of the user's, and its matrices; gives the run."""
    monkeypatch.chdir(tmp_path)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "net.py").write_text(f"{SMALL}# {folder}\n")
    (tmp_path / "mine.py").write_text("def score(weight):\n    pass\n\n\ndef other(weight):\n    pass\n")

    def make(model, **given):
        run = resolve(RunConfig(model=model, **given, runs_dir="runs")).run
        records = [make_record(step, run=run.key, seed=run.manifest.config["seed"]) for step in range(3)]
        commit(run, *records)
        matrices.write_steps(run, records, "performance")
        return run

    return make


MEETING = {
    "functions of a file": (["a/net.py:small", "a/net.py:large"], ["net.py:small", "net.py:large"]),
    "files of one name": (["a/net.py:small", "b/net.py:small"], ["a/net.py:small", "b/net.py:small"]),
}


@pytest.mark.parametrize("meeting", MEETING)
def test_models_of_ones_own_have_names_of_their_own_wherever_they_are_shown(meeting, made, tmp_path):
    models, told = MEETING[meeting]
    runs = [made(model) for model in models]
    assert sorted(of["model"] for of in settings_of(runs)) == sorted(told)
    assert len({row.differs for row in overview(runs)}) == 2
    (match,) = matched(*(select(run.key, "runs") for run in runs))
    assert sorted(match.names) == sorted(told)
    shown = document(report.gather("runs"))
    assert sorted(group.family for group in shown.groups) == sorted(f"{name} on digits" for name in told)
    for place in ("runs", "performance"):
        found = gather([tmp_path / place])
        assert sorted(curve.settings["model"] for curve in found.curves) == sorted(told)
        assert sorted(of.settings["model"] for of in found.counts) == sorted(told)
        assert all("params" in curve.axes for curve in found.curves)
    names = {picture.name for picture in draw(found, ["accuracy", "models"])}
    assert names == {"models-structured-l2", *(f"accuracy-{called(name)}-digits-structured" for name in told)}


def test_matrices_of_another_file_of_the_name_are_not_replaced_and_those_of_the_same_are(made, tmp_path):
    def there():
        return {path.name.removesuffix("_performance.txt") for path in tmp_path.glob("performance/*_performance.txt")}

    made("a/net.py:small")
    assert there() == {"net-small_structured"}
    made("a/net.py:small", seed=1)
    (tmp_path / "a" / "net.py").write_text(SMALL + "# a, but other\n")
    made("a/net.py:small")
    assert there() == {"net-small_structured"}
    other = made("b/net.py:small", criterion="mine.py:score")
    made("b/net.py:small", criterion="mine.py:other")
    made("b/net.py:small", criterion="mine.py:score", seed=1)
    mine = {"b-net-small_structured_mine-score", "b-net-small_structured_mine-other"}
    assert there() == {"net-small_structured", *mine}
    (tmp_path / "a" / "mine.py").write_text("def score(weight):\n    return 1\n")
    made("resnet18", criterion="mine.py:score")
    made("resnet18", criterion="a/mine.py:score")
    assert there() > {"resnet18_structured_mine-score", "resnet18_structured_a-mine-score"}
    assert (other.folder / "net-small_structured_mine-score_performance.txt").is_file()


def test_seeds_of_the_same_file_in_several_checkouts_stay_together(made, tmp_path):
    (tmp_path / "b" / "net.py").write_text((tmp_path / "a" / "net.py").read_text())
    runs = [made("a/net.py:small"), made("b/net.py:small", seed=1)]
    (group,) = by_settings(curves_of(runs, ()))
    assert [curve.seed for curve in group] == [0, 1]


def test_another_file_of_the_name_does_not_take_as_long(made):
    first, second, seed = made("a/net.py:small"), made("b/net.py:small"), made("a/net.py:small", seed=1)
    assert timed_alike(first) == timed_alike(seed) != timed_alike(second)
    assert len(all_runs("runs")) == 3


def test_a_run_from_before_a_setting_is_a_seed_among_those_of_after_and_its_matrix_reads_the_same(made):
    now, other = made("a/net.py:small"), made("a/net.py:small", class_weights="balanced")
    config = {name: value for name, value in now.manifest.config.items() if name != "class_weights"}
    before = Run(now.root, msgspec.structs.replace(now.manifest, config=config), now.folder)
    assert settings_of([now]) == settings_of([before]) != settings_of([other])
    heads = [matrices.describe(run.key, run.manifest.config)["settings"] for run in (now, before, other)]
    assert heads[0] == heads[1]
    assert "class_weights" not in heads[0]
    assert " class_weights=balanced " in heads[2]


@pytest.mark.parametrize(
    ("written", "told", "sparing"),
    [
        (["A:1", "B:1"], ["A:1", "A:1"], [None, None]),  # the same data elsewhere
        (["A:1", "A:2"], ["A:1", "A:2"], ["A:1", "A:2"]),  # it changed in its place
        (["A:1", None], ["A:1", None], [None, None]),
        ([None, None], [None, None], [None, None]),
    ],
)
def test_data_is_told_by_one_name_and_sparingly_only_where_a_dataset_has_several(written, told, sparing):
    settings = [{"dataset": "text-file", "data": name} for name in written]
    assert [of.get("data") for of in with_data(settings)] == told
    assert [of.get("data") for of in with_data(settings, sparing=True)] == sparing
    others = [*settings, {"dataset": "mnist", "data": "C:3"}]
    assert [of.get("data") for of in with_data(others, sparing=True)] == [*sparing, None]


def test_runs_on_other_data_are_results_of_their_own_wherever_they_are_shown(run_on, tmp_path, caplog):
    runs = [run_on("A"), run_on("B", "warm")]
    matrices.write_steps(runs[0], list(runs[0].records()), tmp_path / "performance")
    (name, *_) = tmp_path.glob("performance/*_performance.txt")
    assert f"data=A:{runs[0].manifest.contents['data'][:10]}" in name.read_text()
    names = {f"text-file {folder}:{run.manifest.contents['data'][:10]}" for folder, run in zip("AB", runs, strict=True)}
    sources = report.gather(str(tmp_path / "runs"))
    assert not [line for line in sources.unfinished if "passed over" in line]
    assert {group.family for group in document(sources).groups} == {f"bert on {name}" for name in names}
    for places in ([tmp_path / "runs"], [tmp_path / "performance", tmp_path / "runs"]):
        found = gather(places)
        assert len(found.curves) == 2
        pictures = {picture.name.rpartition("-structured")[0] for picture in draw(found, ["accuracy"])}
        assert pictures == {f"accuracy-bert-{called(name)}".lower() for name in names}
    assert "passed over" not in caplog.text


def test_of_one_data_nothing_is_told(run_on, tmp_path):
    run_on("A")
    run_on("A", criterion="l1")
    run_on("moved", criterion="random")
    (family,) = {group.family for group in document(report.gather(str(tmp_path / "runs"))).groups}
    assert family == "bert on text-file"
    assert {curve.settings.get("data") for curve in gather([tmp_path / "runs"]).curves} == {None}


def test_a_run_takes_no_timings_of_runs_on_other_data(run_on):
    one, other, again = run_on("A"), run_on("B", "warm"), run_on("A", seed=1)
    assert timed_alike(one) == timed_alike(again) != timed_alike(other)
