"""Matching: filters hold all but what they name equal, keys stand for one run, and errors say what differs."""

from __future__ import annotations

import pytest

from prunebench.comparison.matching import all_seeds, matched, of_study, subject
from prunebench.comparison.measures import by_seed
from prunebench.comparison.tables import apart, other_data
from prunebench.config import RunConfig
from prunebench.errors import RunError
from prunebench.experiment.resolve import resolve
from prunebench.results.curves import curve_of, curves_of
from prunebench.results.settings import settings_of
from prunebench.runs.selection import pruning_runs, select


@pytest.fixture
def made(tmp_path, make_record, commit):
    """Makes a pruning run of two steps in a folder of runs, and gives its key."""

    def make(folder="runs", seed=0, **given):
        experiment = resolve(RunConfig(**{"model": "alexnet", **given}, seed=seed, runs_dir=str(tmp_path / folder)))
        run = experiment.run
        about = {"run": run.key, "seed": seed, "method": experiment.settings.method}
        commit(run, *(make_record(step, **about) for step in range(3)))
        return run.key

    return make


@pytest.fixture
def match(tmp_path):
    """What two words name in the folder of runs: for every match, the settings asked for of both sides, and seeds."""

    def of(a, b, *names):
        found = matched(*(select(word, tmp_path / "runs") for word in (a, b)))
        return {
            tuple((*(side[0].settings[name] for name in names), len(side)) for side in (pair.a, pair.b))
            for pair in found
        }

    return of


def test_filters_compare_what_is_equal_in_all_else_over_all_seeds(made, match):
    for criterion in ("l1", "l2"):
        for fraction in (0.1, 0.3):
            for seed in range(3):
                made(criterion=criterion, fraction=fraction, seed=seed)
    made(criterion="l1", fraction=0.5)
    found = match("criterion=l1", "criterion=l2", "criterion", "fraction")
    assert found == {(("l1", 0.1, 3), ("l2", 0.1, 3)), (("l1", 0.3, 3), ("l2", 0.3, 3))}
    found = match("criterion=l1,fraction=0.1", "criterion=l2,fraction=0.3", "criterion", "fraction")
    assert found == {(("l1", 0.1, 3), ("l2", 0.3, 3))}


def test_the_criterion_follows_from_the_method_and_the_dataset_from_the_model(made, match):
    made()
    made(method="unstructured")
    made(model="resnet18", dataset="mnist")
    assert match("method=structured,model=alexnet", "method=unstructured", "criterion") == {(("l2", 1), ("l1", 1))}
    assert match("model=alexnet,method=structured", "model=resnet18", "dataset") == {(("digits", 1), ("mnist", 1))}


def test_a_control_is_like_all_that_was_trained_as_it_was(made, match):
    made(fraction=0.3, exclude=("features.*",))
    made(fraction=0.5)
    made(method="none")
    made(method="none", retrain="lr-rewind", rewind_epoch=1)
    found = match("method=structured", "method=none", "fraction")
    assert found == {((0.3, 1), (0.1, 1)), ((0.5, 1), (0.1, 1))}


def test_what_is_of_one_way_of_retraining_follows_from_it_and_its_epochs_do_not(made, match):
    made(retrain="lr-rewind", rewind_epoch=4)
    made()
    assert match("retrain=lr-rewind", "retrain=finetune", "retrain") == {(("lr-rewind", 1), (None, 1))}
    made(retrain="distil", finetune_epochs=7)
    with pytest.raises(RunError, match="finetune_epochs"):
        match("retrain=lr-rewind", "retrain=distil", "retrain")


def test_two_keys_are_compared_whatever_they_differ_in(made, match):
    one, other = made(fraction=0.3), made(method="unstructured", finetune_epochs=7)
    made(seed=1, fraction=0.3)
    assert match(one, other, "fraction") == {((0.3, 1), (0.1, 1))}


def test_folders_of_one_group_are_compared_and_of_several_where_they_are_alike(made, match, tmp_path):
    made("left", fraction=0.3)
    made("right", fraction=0.5)
    left, right = str(tmp_path / "left"), str(tmp_path / "right")
    assert match(left, right, "fraction") == {((0.3, 1), (0.5, 1))}
    made("right", fraction=0.3)
    assert match(left, right, "fraction") == {((0.3, 1), (0.3, 1))}
    (same,) = matched(select(left, tmp_path), select(right, tmp_path))
    assert same.names == (f"{left}: alexnet structured", f"{right}: alexnet structured")


def test_what_does_not_match_is_told_with_the_settings_that_differ(made, match):
    made(criterion="l1", fraction=0.1, epochs=2)
    made(criterion="l1", fraction=0.1, epochs=2, lr=0.5)
    made(criterion="l2", fraction=0.3, epochs=2)
    with pytest.raises(RunError, match=r"differ in fraction=0\.1 against 0\.3\. Name these in both filters"):
        match("criterion=l1", "criterion=l2")


def test_a_run_is_not_compared_with_itself(made, match):
    key = made(criterion="l1")
    made(criterion="l2")
    made(method="unstructured", criterion="l2")
    for a, b in ((key, key), ("criterion=l1", "criterion=l1"), ("criterion=l1", "model=alexnet,method=structured")):
        if b.endswith("structured"):
            assert match(a, b, "criterion") == {(("l1", 1), ("l2", 1))}
        else:
            with pytest.raises(RunError, match="name the same runs"):
                match(a, b)


def test_groups_are_matched_by_another_metric_where_all_have_counted_it(made, tmp_path):
    made(criterion="l1")
    made(criterion="l2")
    sides = [select(word, tmp_path / "runs") for word in ("criterion=l1", "criterion=l2")]
    (match,) = matched(*sides, "top1")
    assert {curve.metric.name for curve in (*match.a, *match.b)} == {"top1"}
    with pytest.raises(RunError, match="has not recorded loss; it has: top1"):
        matched(*sides, "loss")


def test_a_filter_of_all_seeds_finds_them_and_no_other(made, tmp_path):
    keys = [made(seed=seed, fraction=0.3, exclude=("features.*",)) for seed in range(3)]
    made(fraction=0.5)
    made(method="unstructured", fraction=0.3)
    every = pruning_runs(tmp_path / "runs")
    (run,) = select(keys[1], tmp_path / "runs").runs
    word = all_seeds(settings_of([run])[0], settings_of(every))
    assert sorted(found.key for found in select(word, tmp_path / "runs").runs) == sorted(keys)
    assert all_seeds(settings_of([run])[0], []) == "model=alexnet"


def test_a_study_is_every_two_groups_of_a_model_named_apart(made, tmp_path):
    for seed in range(2):
        for given in ({}, {"method": "unstructured"}, {"method": "none"}, {"model": "resnet18"}, {"fraction": 0.5}):
            made(seed=seed, **given)
    found = of_study([curve_of(run) for run in pruning_runs(tmp_path / "runs")])
    assert {subject(match.a) for match in found} == {"alexnet on digits"}
    assert [match.names for match in found] == [
        ("structured l2 0.1", "structured l2 0.5"),
        ("structured l2 0.1", "unstructured l1 0.1"),
        ("structured l2 0.1", "dense, same epochs"),
        ("structured l2 0.5", "unstructured l1 0.1"),
        ("structured l2 0.5", "dense, same epochs"),
        ("unstructured l1 0.1", "dense, same epochs"),
    ]
    assert all(len(match.a) == len(match.b) == 2 for match in found)


def test_runs_on_other_data_are_not_alike_unless_the_filters_name_it(run_on, tmp_path):
    root = tmp_path / "runs"
    for folder, text in (("A", "fine"), ("B", "warm")):
        for criterion in ("l1", "l2"):
            run_on(folder, text, criterion=criterion)
    found = matched(select("criterion=l1", root), select("criterion=l2", root))
    assert [(match.a[0].settings["data"], match.b[0].settings["data"]) for match in found] == [
        (data, data) for data in (match.a[0].settings["data"] for match in found)
    ]
    assert len(found) == 2
    assert other_data(found) == ""
    (match,) = matched(
        select(f"criterion=l1,data_dir={tmp_path / 'A'}", root), select(f"criterion=l1,data_dir={tmp_path / 'B'}", root)
    )
    assert [name.partition(":")[0] for name in match.names] == ["bert structured data=A", "bert structured data=B"]
    told = " ".join(apart([match]).split())
    assert told.startswith("They differ in data. Their data is not the same")
    for folder in ("A", "B"):
        assert f"text-file {folder}:" in told


def test_data_is_that_of_the_dataset_where_models_are_compared(run_on, made, match):
    run_on("A", text_column=("1",))
    made(model="resnet18")
    assert match("model=bert", "model=resnet18", "dataset") == {(("text-file", 1), ("digits", 1))}


def test_a_study_compares_nothing_across_data_and_names_it(run_on, tmp_path):
    for folder, text in (("A", "fine"), ("B", "warm")):
        for criterion in ("l1", "l2"):
            run_on(folder, text, criterion=criterion)
    found = of_study(curves_of(pruning_runs(tmp_path / "runs"), ()))
    assert sorted(subject(match.a).partition(":")[0] for match in found) == [
        "bert on text-file A",
        "bert on text-file B",
    ]
    assert all(match.a[0].settings["data"] == match.b[0].settings["data"] for match in found)


def test_two_runs_of_a_seed_are_no_reason_to_delete_one(run_on, tmp_path):
    one, other = run_on("A"), run_on("A", criterion="l1")
    curves = [curve_of(run) for run in (one, other)]
    with pytest.raises(RunError, match="Name one by its key") as told:
        by_seed(curves)
    assert "delete" not in str(told.value)
