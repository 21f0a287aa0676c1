"""The peak is what is held at once, not what is allocated in all."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from prunebench.memory import peak_bytes

CPU = torch.device("cpu")


def test_what_is_freed_before_the_next_is_held_does_not_add_up():
    def one_after_the_other():
        for size in (1_000, 3_000, 2_000):
            torch.zeros(size)

    assert peak_bytes(one_after_the_other, CPU) == 12_000 + peak_bytes(lambda: None, CPU)


def test_what_is_held_together_and_the_result_add_up():
    assert peak_bytes(lambda: [torch.zeros(1_000), torch.zeros(500)], CPU) == 6_000


@pytest.mark.parametrize("inference", [True, False])
def test_a_layer_holds_its_output_and_not_its_weights_or_input(inference):
    model, images = nn.Sequential(nn.Linear(64, 1_000), nn.ReLU(inplace=True)), torch.randn(8, 64)
    with torch.inference_mode(inference), torch.no_grad():
        assert peak_bytes(lambda: model(images), CPU) == 8 * 1_000 * 4


def test_nothing_is_printed():
    code = (
        "import torch; from prunebench.memory import peak_bytes; print(peak_bytes(lambda: torch.zeros(4), "
        "torch.device('cpu')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) >= 16
    assert done.stderr == ""
