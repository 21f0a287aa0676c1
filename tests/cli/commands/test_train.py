"""`train` makes the model that pruning starts from, once."""

from __future__ import annotations

import json

import msgspec
import pytest
from PIL import Image
from safetensors.torch import load_file

from prunebench.records import StepRecord

TINY = ("--model", "resnet18", "--limit-train", "60", "--limit-test", "20", "--epochs", "1")


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def runs(tmp_path):
    return sorted(path.name for path in (tmp_path / "runs").glob("resnet18-*"))


def test_a_model_is_trained_once_and_found_by_prune(prunebench, tmp_path):
    first = prunebench("train", *TINY)
    assert first.status == 0, first.err
    assert "95 % interval" in first.out
    assert "train  100%  epoch 1/1" in first.err
    (run,) = runs(tmp_path)
    assert run in first.out
    again = prunebench("train", *TINY)
    assert again.out == first.out
    assert "epoch 1/1" not in again.err
    told = next(line for line in first.err.splitlines() if line.startswith("  data "))
    assert told in again.err
    pruned = prunebench("prune", *TINY, "--iterations", "1", "--finetune-epochs", "1")
    assert f"dense    {run} (trained)" in pruned.err
    assert "train  100%  epoch" not in pruned.err
    assert len(runs(tmp_path)) == 2


def test_json_is_the_record(prunebench):
    finished = prunebench("train", *TINY, "--json")
    record = msgspec.json.decode(finished.out, type=StepRecord)
    assert (record.method, record.step, record.test_after.total) == ("dense", 0, 20)


def test_a_dry_run_writes_nothing(prunebench, tmp_path):
    finished = prunebench("train", *TINY, "--dry-run")
    assert (finished.status, list(tmp_path.iterdir())) == (0, [])
    assert "1 epoch of adamw" in finished.out
    assert "disk     about 44.8 MB: the dense run" in finished.out
    assert (
        "  data     digits: train 60, test 20 samples of 10 classes (0, 1, 2, 3 and 6 more), 6 of each" in finished.out
    )
    plan = json.loads(prunebench("train", *TINY, "--dry-run", "--json").out)
    assert (plan["kind"], plan["steps"], plan["trainings"], plan["needed"]) == ("train", [], 1, None)
    assert plan["bytes"] == pytest.approx(44.8e6, rel=1e-3)
    assert plan["run"] == plan["dense"] == prunebench("train", *TINY).out.partition(":")[0]
    assert plan["settings"]["epochs"] == 1
    assert plan["summary"]["classes"] == list("0123456789")


def test_a_second_phase_trains_the_classifier_of_a_run_alone(prunebench, tmp_path):
    prunebench("train", *TINY)
    (first,) = runs(tmp_path)
    finished = prunebench("train", "--model", "resnet18", "--weights", first.rpartition("-")[2][:6], "--freeze")
    assert finished.status == 0, finished.err
    (second,) = set(runs(tmp_path)) - {first}
    one, other = (load_file(tmp_path / "runs" / run / "steps/000/model.safetensors") for run in (first, second))
    assert {name for name in one if not one[name].equal(other[name])} == {"fc.weight", "fc.bias"}


def test_a_first_phase_is_a_file_of_settings(prunebench, tmp_path):
    (tmp_path / "head.toml").write_text("epochs = 1\nfreeze = true\n", encoding="utf-8")
    plan = prunebench("train", *TINY, "--weights", "head.toml", "--dry-run")
    assert "from     head.toml, run resnet18-dense-" in plan.out
    assert "disk     about 89.5 MB: two dense runs" in plan.out
    finished = prunebench("train", *TINY, "--weights", "head.toml")
    assert finished.status == 0, finished.err
    assert len(runs(tmp_path)) == 2
    again = prunebench("train", *TINY, "--weights", "head.toml")
    assert again.status == 0
    assert "(finished)" in again.err
    wrong = prunebench("train", *TINY, "--weights", "haed.toml")
    assert (wrong.status, wrong.err) == (2, "Error: haed.toml: there is no such file.\n")


def test_an_argument_of_ones_own_builder_makes_another_run_unless_it_is_the_default(prunebench, tmp_path):
    (tmp_path / "net.py").write_text(
        "from torch import nn\n"
        "def build(classes, width=8):\n"
        "    pool = nn.AdaptiveAvgPool2d(1)\n"
        "    return nn.Sequential(nn.Conv2d(3, width, 3), pool, nn.Flatten(), nn.Linear(width, classes))\n"
    )
    options = ("--model", "net.py:build", *TINY[2:], "--image-size", "8")
    found = []
    for given in ((), ("--model-arg", "width=8"), ("--model-arg", "width=5")):
        finished = prunebench("train", *options, *given)
        assert finished.status == 0, finished.err
        key = finished.out.partition(":")[0]
        found.append((key, len(load_file(tmp_path / "runs" / key / "steps/000/model.safetensors")["0.weight"])))
    usual, named, (narrow, width) = found
    assert usual == named
    assert usual[0] != narrow
    assert (usual[1], width) == (8, 5)
    assert prunebench("evaluate", "--run", narrow).status == 0
    refused = prunebench("evaluate", "--run", narrow, "--model-arg", "width=6")
    assert refused.status == 2
    assert refused.err.startswith(f"Error: Run {narrow} was made with --model-arg ")
    pruned = prunebench("prune", *options, "--model-arg", "width=5", "--iterations", "1", "--finetune-epochs", "1")
    assert f"dense    {narrow} (trained)" in pruned.err
    (tmp_path / "mine.toml").write_text("model_arg = ['width=5']\n", encoding="utf-8")
    assert narrow in prunebench("train", *options, "--config", "mine.toml").out


def test_pruning_options_are_not_for_training(prunebench, tmp_path):
    finished = prunebench("train", *TINY, "--fraction", "0.5")
    assert (finished.status, list(tmp_path.iterdir())) == (2, [])
    assert "--fraction" in finished.err


@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_what_is_wrong_with_an_image_is_told_instead_of_the_plan(options, prunebench, tmp_path):
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            (tmp_path / part / name).mkdir(parents=True)
            Image.new("RGB", (32, 32)).save(tmp_path / part / name / "1.png")
    (tmp_path / "test" / "dog" / "1.png").write_bytes(b"no image")
    data = ("--dataset", "image-folder", "--data-dir", str(tmp_path), "--image-size", "32")
    finished = prunebench("train", "--model", "resnet18", *data, *options)
    assert (finished.status, finished.out) == (2, "")
    assert finished.err.startswith("Error: 1 of 4 images cannot be read: ")
