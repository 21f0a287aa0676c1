"""The peak is what is held at once, not what is allocated in all."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest
import torch
from torch import nn

from prunebench.models import memory
from prunebench.models.memory import free_bytes, peak_bytes

CPU = torch.device("cpu")


def test_what_is_freed_before_the_next_is_held_does_not_add_up():
    def one_after_the_other():
        for size in (1_000, 3_000, 2_000):
            torch.empty(size)

    assert peak_bytes(one_after_the_other, CPU) == 12_000


def test_what_is_held_together_and_the_result_add_up():
    assert peak_bytes(lambda: [torch.empty(1_000), torch.empty(500)], CPU) == 6_000


@pytest.mark.parametrize("inference", [True, False])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_layer_holds_its_output_and_not_its_weights_or_input(inference, threads):
    torch.set_num_threads(threads)
    model, images = nn.Sequential(nn.Linear(64, 1_000), nn.ReLU(inplace=True)), torch.randn(8, 64)
    with torch.inference_mode(inference), torch.no_grad():
        assert peak_bytes(lambda: model(images), CPU) == 8 * 1_000 * 4


def test_two_layers_hold_both_outputs_and_three_no_more_than_two():
    conv, output = nn.Conv2d(3, 8, 3, padding=1), 2 * 8 * 32 * 32 * 4
    images = torch.randn(2, 3, 32, 32).to(memory_format=torch.channels_last)  # a convolution then needs no copies
    for model in (nn.Sequential(conv, nn.ReLU()), nn.Sequential(conv, nn.ReLU(), nn.Sigmoid())):
        model.to(memory_format=torch.channels_last)
        with torch.no_grad():
            assert peak_bytes(lambda model=model: model(images), CPU) == 2 * output


def test_what_is_kept_for_gradients_is_held():
    model, images = nn.Sequential(nn.Linear(64, 1_000), nn.Softplus(), nn.Softplus(), nn.Softplus()), torch.ones(8, 64)
    assert peak_bytes(lambda: model(images), CPU) == 4 * 8 * 1_000 * 4


def test_work_space_inside_an_operator_counts():
    query = torch.randn(1, 4, 512, 16)
    with torch.no_grad():
        held = peak_bytes(lambda: nn.functional.scaled_dot_product_attention(query, query, query), CPU)
    output, scores = 4 * 512 * 16 * 4, 4 * 512 * 512 * 4
    assert output + 4 * 512 * 4 < held < output + scores  # beyond the outputs: a result and a sum per row


@pytest.mark.parametrize("enabled", [True, False])
def test_garbage_is_not_collected_meanwhile_and_the_collector_is_left_as_it_was(enabled):
    meanwhile = []
    try:
        (gc.enable if enabled else gc.disable)()
        peak_bytes(lambda: meanwhile.append(gc.isenabled()), CPU)
        assert gc.isenabled() == enabled
    finally:
        gc.enable()
    assert meanwhile == [False]


def test_nothing_is_printed_even_where_garbage_is_collected_meanwhile():
    code = """
import gc, torch
from prunebench.models import memory
from prunebench.models.memory import free_bytes, peak_bytes

def call():
    gc.collect()
    return torch.empty(1_000)

garbage = [torch.empty(3_000)]
garbage.append(garbage)
del garbage
print(peak_bytes(call, torch.device("cpu")))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "4000\n"
    assert done.stderr == ""


def test_memory_that_a_container_may_take_bounds_what_is_free(monkeypatch, tmp_path):
    (tmp_path / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable: 8000 kB\n")
    (tmp_path / "group").write_text("0::/outer/inner\n")
    groups = {"outer": ("1000000", 400_000, 50_000), "outer/inner": ("max", 300_000, 0)}
    for name, (most, taken, gives_way) in groups.items():
        folder = tmp_path / "groups" / name
        folder.mkdir(parents=True)
        (folder / "memory.max").write_text(f"{most}\n")
        (folder / "memory.current").write_text(f"{taken}\n")
        (folder / "memory.stat").write_text(f"anon 7\ninactive_file {gives_way}\n")
    monkeypatch.setattr(memory, "MEMORY", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "GROUP", tmp_path / "group")
    monkeypatch.setattr(memory, "GROUPS", tmp_path / "groups")
    assert free_bytes(CPU) == 1_000_000 - 400_000 + 50_000
    (tmp_path / "groups" / "outer" / "memory.max").write_text("max\n")
    assert free_bytes(CPU) == 8000 * 1024
    (tmp_path / "group").unlink()
    assert free_bytes(CPU) == 8000 * 1024
