"""`evaluate` computes a step anew from its files."""

from __future__ import annotations

import json
import shutil

import msgspec
import pytest
import torch
import torchvision

from prunebench.records import StepRecord


def runs_of(made):
    return {path.name.split("-")[1]: path.name for path in (made.folder / "runs").glob("resnet18-*")}


def test_every_step_scores_what_was_recorded_in_a_row_per_metric(digits_run, prunebench):
    finished = prunebench("evaluate", *digits_run.options, "--steps", "0,1,2", *digits_run.places[:2])
    assert finished.status == 0, finished.err
    head, *lines = finished.out.splitlines()
    assert head.split() == ["step", "metric", "test", "95", "%", "interval", "recorded", "train", "recorded"]
    rows = [line.split() for line in lines]
    assert [row[:2] for row in rows] == [[step, metric] for step in "012" for metric in ("top1", "loss")]
    assert [len(row) for row in rows] == [7, 6] * 3  # a mean has no interval
    assert all(row[2] == row[-3] and row[-2] == row[-1] for row in rows)


def test_the_last_step_of_the_newest_run_is_the_default(digits_run, prunebench):
    finished = prunebench("evaluate", "--model", "resnet18", *digits_run.places[:2])
    assert [line.split()[0] for line in finished.out.splitlines()[1:]] == ["2", "2"]
    assert f"run {runs_of(digits_run)['structured']} (digits) on" in finished.err


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
        (("--model", "vgg16"), "prunebench prune --model vgg16\n"),
        (("--model", "vgg16", "--data-dir", "there"), "prunebench prune --model vgg16 --data-dir there\n"),
        (("--weights", "nowhere.pth"), "--model is missing"),
        (("--method", "unstructured"), "prunebench prune --model MODEL --method unstructured\n"),
        (("--model", "resnet18", "--method", "unstructured"), "prune --model resnet18 --method unstructured\n"),
        (
            ("--exclude", "fc", "--no-augment", "--exclude", "layer1.*", "--lr", "0.1", "--freeze", "--threads", "1"),
            "prunebench prune --model MODEL --no-augment --lr 0.1 --freeze --exclude fc --exclude 'layer1.*'\n",
        ),
        (("--model", "resnet18", "--steps", "9"), "it has: 0, 1, 2"),
        (("--model", "resnet18", "--steps", "one"), "'one'"),
    ],
)
def test_what_is_not_there_is_told_with_what_to_do(arguments, words, digits_run, prunebench):
    finished = prunebench("evaluate", *arguments, *digits_run.places[:2])
    assert (finished.status, finished.out) == (2, "")
    assert words in finished.err
    assert "Traceback" not in finished.err


@pytest.mark.parametrize(
    ("kind", "option", "made_with"),
    [
        ("structured", ("--model", "vgg16"), "--model resnet18"),
        ("structured", ("--seed", "1"), "--seed 0"),
        ("dense", ("--epochs", "7"), "--epochs 1"),
    ],
)
def test_options_that_contradict_a_named_run_are_refused(kind, option, made_with, digits_run, prunebench):
    key = runs_of(digits_run)[kind]
    finished = prunebench("evaluate", "--run", key, *option, *digits_run.places[:2])
    assert (finished.status, finished.out) == (2, "")
    assert finished.err == f"Error: Run {key} was made with {made_with}; leave the option out.\n"


def test_options_that_a_named_run_was_made_with_are_welcome(digits_run, prunebench):
    key = runs_of(digits_run)["structured"]
    finished = prunebench("evaluate", "--run", key, *digits_run.options, "--threads", "1", *digits_run.places[:2])
    assert finished.status == 0, finished.err
    assert "1 thread" in finished.err


def test_a_run_in_a_renamed_folder_is_found_and_an_unreadable_one_passed_over(digits_run, prunebench, tmp_path):
    shutil.copytree(digits_run.folder / "runs", tmp_path / "runs")
    key = runs_of(digits_run)["structured"]
    (tmp_path / "runs" / key).rename(tmp_path / "runs" / "mine")
    (tmp_path / "runs" / "damaged").mkdir()
    (tmp_path / "runs" / "damaged" / "run.json").write_text("{")
    for name in (key, str(tmp_path / "runs" / "mine")):
        finished = prunebench("evaluate", "--run", name, "--runs-dir", str(tmp_path / "runs"))
        assert finished.status == 0, finished.err
        assert f"run {key}" in finished.err
    finished = prunebench("evaluate", "--model", "resnet18", "--runs-dir", str(tmp_path / "runs"))
    assert finished.status == 0, finished.err
    warnings = [line for line in finished.err.splitlines() if line.startswith("Warning: ")]
    assert all("damaged" in line and line.endswith("It is passed over.") for line in warnings)
    assert len(warnings) == 1


def test_a_users_own_files_are_given_anew_where_they_were_moved(prunebench, tmp_path, monkeypatch):
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    monkeypatch.chdir(old)
    (old / "net.py").write_text(
        "from torch import nn\n"
        "def build(classes):\n"
        "    return nn.Sequential(nn.Conv2d(3, 5, 8), nn.Flatten(), nn.Linear(5, classes))\n"
    )
    tiny = ("--limit-train", "60", "--limit-test", "20", "--epochs", "1", "--image-size", "8")
    assert prunebench("train", "--model", "net.py:build", *tiny).status == 0
    old.rename(new)
    monkeypatch.chdir(new)
    finished = prunebench("evaluate", "--model", "net.py:build")
    assert finished.status == 0, finished.err
    (key,) = (path.name for path in (new / "runs").glob("net-*"))
    assert prunebench("evaluate", "--run", key, "--model", "net.py:build").out == finished.out


def test_weights_of_a_file_are_scored_without_a_run(prunebench, digits_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dense = digits_run.folder / "runs" / runs_of(digits_run)["dense"] / "steps" / "000"
    shutil.copy(dense / "model.safetensors", "w.safetensors")
    inputs = json.loads((dense / "structure.json").read_text())["architecture"]["inputs"]
    normal = [word for name in ("mean", "std") for word in (f"--{name}", ",".join(map(str, inputs[name])))]
    options = ("--model", "resnet18", "--limit-train", "200", "--limit-test", "100", "--image-size", "32")
    finished = prunebench("evaluate", *options, "--weights", "w.safetensors", *normal)
    assert finished.status == 0, finished.err
    rows = [line.split() for line in finished.out.splitlines()]
    assert rows[0] == ["metric", "test", "95", "%", "interval", "train"]
    recorded = prunebench("evaluate", "--run", runs_of(digits_run)["dense"], *digits_run.places[:2]).out.splitlines()[1]
    assert [rows[1][1], rows[1][-1]] == [recorded.split()[2], recorded.split()[-1]]
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]
    told = prunebench("evaluate", *options, "--weights", "w.safetensors", *normal, "--json", "--layers")
    assert msgspec.json.decode(told.out, type=StepRecord).test_after.total == 100
    without = prunebench("evaluate", *options, "--weights", "w.safetensors")
    assert "normalised as ImageNet's, since neither the file nor the model says how" in without.err
    assert prunebench("evaluate", *options, "--weights", "gone.pth").status == 2


def test_weights_without_a_classifier_for_the_classes_are_not_scored(prunebench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(torchvision.models.resnet18(num_classes=7).state_dict(), "w.pth")
    finished = prunebench("evaluate", "--model", "resnet18", "--weights", "w.pth", "--limit-train", "20")
    assert (finished.status, finished.out) == (2, "")
    assert "fc would start fresh" in finished.err
