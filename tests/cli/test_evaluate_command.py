"""`evaluate` computes a step anew from its files."""

from __future__ import annotations

import msgspec
import pytest

from prunebench.records import StepRecord


def runs_of(made):
    return {path.name.split("-")[1]: path.name for path in (made.folder / "runs").iterdir()}


def test_every_step_scores_what_was_recorded(digits_run, prunebench):
    finished = prunebench("evaluate", *digits_run.options, "--steps", "0,1,2", *digits_run.places[:2])
    assert finished.status == 0, finished.err
    rows = [line.split() for line in finished.out.splitlines()[1:]]
    assert [row[0] for row in rows] == ["0", "1", "2"]
    assert all(row[1] == row[3] and row[4] == row[5] for row in rows)


def test_the_last_step_of_the_newest_run_is_the_default(digits_run, prunebench):
    finished = prunebench("evaluate", "--model", "resnet18", *digits_run.places[:2])
    assert [line.split()[0] for line in finished.out.splitlines()[1:]] == ["2"]
    assert runs_of(digits_run)["structured"] in finished.err


@pytest.mark.parametrize("kind", ["structured", "dense"])
def test_a_run_is_named_by_key_prefix_or_folder(kind, digits_run, prunebench):
    key = runs_of(digits_run)[kind]
    names = (key, key[:-3], key.rpartition("-")[2], str(digits_run.folder / "runs" / key))
    for name in names:
        finished = prunebench("evaluate", "--run", name, *digits_run.places[:2])
        assert finished.status == 0, finished.err
        assert f"run {key}" in finished.err


def test_layers_are_listed_with_what_is_left(digits_run, prunebench):
    finished = prunebench("evaluate", "--model", "resnet18", "--layers", *digits_run.places[:2])
    rows = {line.split()[0]: line.split() for line in finished.out.splitlines() if line.strip()}
    assert rows["conv1"][1:4] == ["Conv2d", "9,408", "7,644"]  # 52 of 64 filters of 3 × 7 × 7
    assert rows["fc"][1] == "Linear"
    assert len([row for row in rows.values() if row[1] == "Conv2d"]) == 20


def test_json_prints_the_record_with_what_was_found(digits_run, prunebench):
    finished = prunebench("evaluate", "--model", "resnet18", "--steps", "1", "--json", *digits_run.places[:2])
    record = msgspec.json.decode(finished.out, type=StepRecord)
    assert (record.step, record.test_after.total, record.train_after.total) == (1, 100, 200)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--model", "vgg16"), "prunebench prune --model vgg16"),
        (("--model", "resnet18", "--method", "unstructured"), "prune --model resnet18 --method unstructured"),
        (("--model", "resnet18", "--steps", "9"), "it has: 0, 1, 2"),
        (("--model", "resnet18", "--steps", "one"), "'one'"),
    ],
)
def test_what_is_not_there_is_told_with_what_to_do(arguments, words, digits_run, prunebench):
    finished = prunebench("evaluate", *arguments, *digits_run.places[:2])
    assert (finished.status, finished.out) == (2, "")
    assert words in finished.err
    assert "Traceback" not in finished.err
