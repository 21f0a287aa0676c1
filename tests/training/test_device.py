"""The machine: the device that was asked for or none, and a record of what it is."""

from __future__ import annotations

import platform

import pytest
import torch

from prunebench import RunConfig
from prunebench.config import Settings
from prunebench.errors import DeviceError
from prunebench.experiment.resolve import resolve
from prunebench.runs import environment as hardware
from prunebench.training import device as machine


def use(**settings):
    return machine.use(Settings(**{"device": "cpu", "devices": 1, "deterministic": False} | settings))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_device_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(DeviceError, match=r"--device cuda.*it has: cpu"):
        use(device="cuda")


@pytest.mark.parametrize("device", [None, "auto"])
def test_auto_takes_a_gpu_where_there_is_one(device):
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert machine.use(resolve(RunConfig(model="resnet18", device=device)).settings).type == expected


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_are_set_and_recorded(threads):
    device = use(threads=threads)
    assert torch.get_num_threads() == threads
    assert machine.environment(device, seed=0).threads == threads


def test_the_environment_names_hardware_versions_and_seed():
    found = machine.environment(torch.device("cpu"), seed=3)
    assert (found.device, found.seed, found.python) == ("cpu", 3, platform.python_version())
    assert found.versions["torch"] == torch.__version__.partition("+")[0]
    assert set(found.versions) == set(hardware.RECORDED)
    assert found.hardware


def test_deterministic_algorithms_are_switched_on_off_and_recorded():
    for wanted in (True, False):
        device = use(deterministic=wanted)
        assert torch.are_deterministic_algorithms_enabled() is wanted
        assert machine.environment(device, seed=0).deterministic is wanted


SWITCHES = [
    (torch.backends.cuda.matmul, "fp32_precision"),
    (torch.backends.cudnn.conv, "fp32_precision"),
    (torch.backends.cudnn.rnn, "fp32_precision"),
    (torch.backends.cuda.matmul, "allow_tf32"),
    (torch.backends.cudnn, "allow_tf32"),
]


@pytest.fixture(autouse=True)
def precisions():
    """What PyTorch computes products of fp32 in, told both ways, and as it was afterwards."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    yield lambda: [getattr(place, name) for place, name in SWITCHES]
    torch.set_float32_matmul_precision(before[0])
    torch.backends.cudnn.allow_tf32 = before[1]


def test_products_of_fp32_are_of_fp32_unless_tf32_is_asked_for(precisions):
    for dtype in ("fp32", "bf16", "fp16"):
        machine.compute_in(dtype, "cuda")
        assert not machine.tf32()
        assert not {"tf32", True} & set(precisions())
    machine.compute_in("tf32", "cuda")
    assert machine.tf32()
    assert set(precisions()) == {"tf32", True}
    use(dtype="fp32")
    assert not {"tf32", True} & set(precisions())


@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_tf32_is_refused_where_there_is_none(device):
    with pytest.raises(DeviceError, match=f"--dtype tf32 is for CUDA alone, and this is {device}: leave it out"):
        machine.compute_in("tf32", device)


def test_the_environment_of_a_gpu_tells_what_products_of_fp32_are_computed_in(precisions, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")
    for dtype, told in (("fp32", "fp32"), ("tf32", "tf32"), ("bf16", "fp32")):
        machine.compute_in(dtype, "cuda")
        assert machine.environment(torch.device("cuda"), seed=0).precision == told
    assert machine.environment(torch.device("cpu"), seed=0).precision == ""


def work(size, option, error=None):
    with machine.memory_for(size, option):
        if error:
            raise error
        torch.empty(2**50)


def test_running_out_of_memory_names_the_batch_size_that_was_tried():
    with pytest.raises(DeviceError, match=r"The GPU ran .* batches of 64 samples.*--batch-size 32"):
        work(64, "--batch-size", torch.OutOfMemoryError("CUDA out of memory."))
    with pytest.raises(DeviceError, match=r"This machine ran .* batches of 1 samples.*--batch-sizes 1,"):
        work(1, "--batch-sizes")
    with pytest.raises(RuntimeError, match="another"):
        work(1, "--batch-sizes", RuntimeError("another problem"))
