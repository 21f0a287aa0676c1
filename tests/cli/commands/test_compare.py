"""`compare` pairs runs by seed, from keys, folders, filters or a whole study, and says what more it needs."""

from __future__ import annotations

import json
import shutil

import pytest

from prunebench.config import RunConfig
from prunebench.experiment.resolve import resolve
from prunebench.records import Scores


@pytest.fixture(scope="module")
def make(make_record, commit):
    """Makes a pruning run of steps that lose so many samples each, in a folder of runs; gives its key."""

    def make(root, seed, loses, **given):
        experiment = resolve(RunConfig(**{"model": "alexnet", **given}, seed=seed, runs_dir=str(root)))
        run, settings = experiment.run, experiment.settings
        about = {"run": run.key, "seed": seed, "method": settings.method, "fraction": settings.fraction}
        if settings.method == "none":
            about |= {"nominal_left": 1.0, "nonzero_params": 10_100, "macs": 640_000}
        scores = [Scores.of(top1=(340 - lost, 360), loss=(72 + lost, 360)) for lost in loses]
        parts = ("test_before", "test_after", "train_before", "train_after")
        records = [make_record(step, **about, **dict.fromkeys(parts, of)) for step, of in enumerate(scores)]
        commit(run, *records)
        return run.key

    return make


@pytest.fixture(scope="module")
def made_once(make, tmp_path_factory):
    """Three groups of three seeds: l2 loses 10 samples fewer than l1 in every step, give or take the seed."""
    root = tmp_path_factory.mktemp("made") / "runs"
    for seed in range(3):
        make(root, seed, [0, 1 + seed, 4, 20])
        make(root, seed, [0, 12 + 2 * seed, 14 + seed, 31 - seed], criterion="l1")
        make(root, seed, [0, 0, seed, 1], method="none")
    return root


@pytest.fixture
def study(made_once, tmp_path, monkeypatch):
    """A copy of these in the folder `runs` of the working directory."""
    shutil.copytree(made_once, tmp_path / "runs")
    monkeypatch.chdir(tmp_path)


def test_filters_are_compared_over_seeds(study, prunebench):
    finished = prunebench("compare", "criterion=l2", "criterion=l1,method=structured")
    assert finished.status == 0, finished.err
    lines = finished.out.splitlines()
    assert lines[:3] == ["A: l2", "B: l1", "Paired by seed: 0, 1, 2 (n = 3)."]
    assert [line.split("  ")[-1] for line in lines if " at n=" in line][:3] == [
        *("better at n=3", "better at n=3", "better at n=3"),
    ]
    assert "They differ in criterion." in lines
    assert max(map(len, lines)) <= 100


def test_json_holds_every_verdict_with_both_sides(study, prunebench):
    words = ("criterion=l2", "criterion=l1,method=structured")
    found = [json.loads(line) for line in prunebench("compare", *words, "--steps", "2", "--json").out.splitlines()]
    assert [(row["measure"], row["step"]) for row in found] == [
        ("top1 after fine-tuning", 2),
        ("area under the accuracy–MACs curve", None),
        ("parameters left at 1 point of loss", None),
        ("MACs left at 1 point of loss", None),
    ]
    first = found[0]
    assert (first["seeds"], first["verdict"], first["n"]) == ([0, 1, 2], "better", 3)
    assert first["difference"] == pytest.approx(11 / 360)
    assert first["of_a"]["mean"] - first["of_b"]["mean"] == pytest.approx(11 / 360)
    assert first["of_a"]["wilson_low"] < first["of_a"]["mean"] < first["of_a"]["wilson_high"]


def test_another_metric_is_compared_and_less_loss_is_better(study, prunebench):
    words = ("compare", "criterion=l2", "criterion=l1,method=structured", "--metric", "loss")
    first = json.loads(prunebench(*words, "--steps", "2", "--json").out.splitlines()[0])
    assert (first["measure"], first["verdict"]) == ("loss after fine-tuning", "better")
    assert not first["higher_is_better"]
    assert first["difference"] == pytest.approx(-11 / 360)
    finished = prunebench(*words)
    assert finished.status == 0, finished.err
    assert finished.out.count("better at n=3") >= 3
    refused = prunebench(*words[:-1], "lost")
    assert (refused.status, refused.out) == (2, "")
    assert "has not recorded lost; it has: top1, loss." in refused.err
    of_study = prunebench("compare", "--study", "runs", "--metric", "loss")
    assert of_study.status == 0, of_study.err
    assert prunebench("compare", "--study", "runs", "--metric", "lost").status == 2


def test_a_study_is_compared_pair_by_pair_a_table_per_model(study, make, prunebench):
    for criterion in ("l1", "l2"):
        make("runs", 0, [0, 1, 2, 3], model="resnet18", criterion=criterion)
    make("runs", 7, [0, 1, 2, 3], method="unstructured")
    finished = prunebench("compare", "--study", "runs")
    assert finished.status == 0, finished.err
    alexnet, resnet = finished.out.split("resnet18 on digits\n")
    assert alexnet.startswith("alexnet on digits\nA: structured l1\nB: structured l2\nC: dense, same epochs\n")
    assert [line[:8] for line in alexnet.splitlines() if " − " in line[:5]][:3] == ["A − B  3", "A − C  3", "B − C  3"]
    assert resnet.startswith("A: l1\nB: l2\nPaired by seed: 0 (n = 1).")
    assert "last step" in resnet
    assert "no seed in common: structured l1; unstructured l1" in finished.err
    first = prunebench("compare", "--study", "runs", "--steps", "1").out
    assert [line[:8] for line in first.splitlines() if " − " in line[:5]][:3] == ["A − B  1", "A − C  1", "B − C  1"]
    assert "last step" not in first
    rows = prunebench("compare", "--study", "runs", "--json").out.splitlines()
    assert {json.loads(row)["step"] for row in rows} == {3, None}


def test_two_runs_are_one_seed_and_the_words_for_all_seeds_are_told(study, make, prunebench):
    keys = make("runs", 3, [0, 1, 2, 3]), make("runs", 3, [0, 4, 5, 6], method="none")
    finished = prunebench("compare", *keys)
    assert finished.status == 0, finished.err
    assert "indistinguishable at n=1; one seed cannot tell" in finished.out
    assert "better" not in finished.out
    words = finished.out.splitlines()[-1].partition("prunebench ")[2].split()
    assert words[:3] == ["compare", "method=structured,criterion=l2", "method=none,criterion=l1"]
    assert "n = 4" in prunebench(*words).out
    elsewhere = prunebench("compare", *keys, "--runs-dir", "./runs").out.splitlines()[-1]
    assert elsewhere.endswith(" method=none,criterion=l1 --runs-dir ./runs")


def test_the_folder_runs_is_looked_into_unless_another_is_named(study, prunebench):
    assert prunebench("compare", "criterion=l2", "method=none").status == 0
    one = prunebench("compare", "criterion=l2", "method=none", "--study", "runs").out
    assert one == prunebench("compare", "criterion=l2", "method=none", "--runs-dir", "runs").out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "Name two to compare"),
        (("criterion=l1",), "Name two to compare"),
        (("criterion=l1", "--study", "runs"), "Name two to compare"),
        (("--study", "runs", "--runs-dir", "runs"), "give one of them"),
        (("--study", "nowhere"), "There is no folder nowhere."),
        (("--study", "."), "no two groups"),
        (("--markdown",), "give --study DIR, and neither A, B nor --json"),
        (("--study", "runs", "--markdown"), "the study of runs fixes no comparisons"),
        (("criterion=l1", "criterion=l3"), "no pruning run in runs has these settings"),
        (("criterion=l1", "no-such-run"), "There is no run"),
        (("criterion=l1", "criterion=l1"), "name the same runs"),
        (("criterion=l2", "method=none", "--steps", "2,9"), "There is no step 9 to compare; there are: 1, 2, 3."),
        (("criterion=l2", "method=none", "--steps", "two"), "not a list of whole numbers"),
        (("seed=1,criterion=l2", "seed=2,criterion=l1,method=structured"), "A has 1; B has 2"),
    ],
)
def test_what_cannot_be_compared_is_told_in_a_line(words, message, study, prunebench):
    finished = prunebench("compare", *words)
    assert finished.status == 2
    assert message in finished.err
    assert len(finished.err.splitlines()) <= 2
    assert finished.out == ""


def test_a_control_that_was_tuned_for_longer_is_none(study, make, prunebench):
    key = make("runs", 0, [0, 0, 0, 0], method="none", finetune_epochs=9)
    finished = prunebench("compare", "seed=0,criterion=l2", key)
    assert finished.status == 2
    assert "finetune_epochs=1 against 9" in finished.err
    finished = prunebench("compare", make("runs", 0, [0, 1, 2, 3], fraction=0.5), key)
    assert finished.status == 2
    assert "the same --finetune-epochs" in finished.err


def test_a_model_that_lacks_a_step_is_told_and_the_others_are_compared(study, make, prunebench):
    for method in ("structured", "none"):
        make("runs", 0, [0, 1], model="resnet18", method=method)
    finished = prunebench("compare", "--study", "runs", "--steps", "3")
    assert finished.status == 0, finished.err
    assert "resnet18 on digits has no such step to compare" in finished.err
    assert finished.out.startswith("alexnet on digits")
    assert "resnet18" not in finished.out


def test_matches_without_a_seed_in_common_are_told_and_the_others_compared(study, make, prunebench):
    make("runs", 0, [0, 1, 2, 3], model="resnet18")
    make("runs", 1, [0, 1, 2, 3], model="resnet18", criterion="l1")
    finished = prunebench("compare", "criterion=l2", "criterion=l1,method=structured")
    assert finished.status == 0, finished.err
    assert "no seed in common: resnet18 on digits" in finished.err
    assert "better at n=3" in finished.out


def test_other_data_is_told_and_all_seeds_are_advised_where_the_filters_differ(run_on, tmp_path, prunebench):
    one, other = run_on("A"), run_on("B", "warm")
    place = ("--runs-dir", str(tmp_path / "runs"))
    finished = prunebench("compare", one.key, other.key, *place)
    assert finished.status == 0, finished.err
    names = [f"{folder}:{run.manifest.contents['data'][:10]}" for folder, run in (("A", one), ("B", other))]
    told = " ".join(finished.out.split())
    assert f"Their data is not the same (text-file {names[0]} against text-file {names[1]})" in told
    advice = finished.out.splitlines()[-1]
    assert advice.startswith(f"To compare all seeds:  prunebench compare data={names[0]} data={names[1]} ")
    again = prunebench("compare", *advice.partition("compare ")[2].partition("compare ")[2].split())
    assert again.status == 0, again.err
    assert "To compare all seeds" not in again.out
    as_json = prunebench("compare", one.key, other.key, "--json", *place)
    assert as_json.err.startswith("Warning: Their data is not the same")


def test_of_data_that_is_the_same_nothing_is_told(run_on, tmp_path, prunebench):
    one, other = run_on("A", seed=0), run_on("A", seed=0, criterion="l1")
    finished = prunebench("compare", one.key, other.key, "--runs-dir", str(tmp_path / "runs"))
    assert "Their data" not in finished.out
    assert "compare criterion=l2 criterion=l1" in finished.out
