"""What checks a GPU: it says in one line that there is none, and an outcome that differs from the CPU's is told."""

from __future__ import annotations

import itertools
import json

import pytest
import torch

import gpu_cases
import gpu_check
import gpu_runs
import gpu_scores

FINE = {"units": [[["weights", 4]]], "weights": [[4, 8, 8]], "macs": [2], "removed": [[]], "finite": True, "revived": 0}


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_one_line_says_so(capsys):
    assert gpu_check.main([]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    "changed", [{"units": [[["weights", 3]]]}, {"finite": False}, {"revived": 1}, {"macs": [3]}, {"failed": "mixed"}]
)
def test_what_a_device_comes_to_otherwise_than_the_cpu_is_told(changed):
    assert gpu_runs.problems(FINE, FINE) == []
    assert len(gpu_runs.problems({**FINE, **changed}, FINE)) == 1


def test_what_has_no_time_is_left_out_and_what_was_begun_is_told(tmp_path, monkeypatch, capsys):
    def items(device, place, given):
        yield "quick", lambda: iter([{"what": "quick", "difference": 0.0}])
        yield "wrong", lambda: iter([gpu_check.checked("wrong", ["it is wrong"])])

    late = gpu_check.PARTS["times"][0] * 0, items
    monkeypatch.setattr(gpu_check, "PARTS", {"scores": (60, items), "times": late, "runs": (-120, items)})
    output = tmp_path / "gpu.json"
    assert gpu_check.main(["--device", "cpu", "--parts", "scores", "times", "runs", "-o", str(output)]) == 1
    told = [(row["part"], row["what"], "left_out" in row) for row in json.loads(output.read_text())["checks"]]
    assert told == [(part, what, part == "runs") for part in ("scores", "times", "runs") for what in ("quick", "wrong")]
    assert "4 checks and figures, 2 wrong, 2 left out" in capsys.readouterr().out


def test_the_parts_have_ten_minutes_with_a_minute_to_spare():
    assert sum(budget for budget, _ in gpu_check.PARTS.values()) <= 540


@pytest.mark.parametrize("part", list(gpu_check.PARTS))
def test_every_item_has_a_name_of_its_own(part, tmp_path):
    given = gpu_check.parser().parse_args(["--device", "cpu", "--stride", "9", "--processes", "1", "--threads", "1"])
    if part == "runs":  # which submits them at once
        names = [case.name for case in gpu_check.mixed(gpu_cases.cases())]
        assert sorted(names) == sorted(case.name for case in gpu_cases.cases())
    elif part == "scores":
        names = [*gpu_scores.scored()]
    else:
        names = [name for name, _ in gpu_check.PARTS[part][1]("cpu", tmp_path, given)]
    assert names
    assert len(set(names)) == len(names)


def test_training_is_checked_in_every_arithmetic_of_both_models_by_every_optimizer():
    found = {tuple(map(case.settings.get, ("model", "finetune_optimizer", "dtype"))) for case in gpu_cases.cases()}
    for model, optimizer, dtype in itertools.product(
        ("resnet18", "bert"), ("sgd", "adam", "adamw"), ("fp32", "tf32", "bf16", "fp16")
    ):
        assert (model, optimizer, dtype) in found
