"""What checks a GPU: it says in one line that there is none, and an outcome that differs from the CPU's is told."""

from __future__ import annotations

import pytest
import torch

import gpu_check
import gpu_runs

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
