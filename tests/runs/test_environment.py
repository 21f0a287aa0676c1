"""What of this machine stands beside every figure."""

from __future__ import annotations

import os

import msgspec
import numpy

from prunebench.runs import environment as hardware


def test_the_environment_names_cpu_cores_threads_and_versions():
    found = hardware.environment(threads=3, packages=("numpy", "click"))
    assert (found.device, found.threads, found.cores) == ("cpu", 3, os.cpu_count())
    assert found.hardware == hardware.cpu() != ""
    assert set(found.versions) == {"numpy", "click"}


def test_the_governor_and_the_driver_are_the_first_line_of_what_the_system_says(tmp_path, monkeypatch):
    (tmp_path / "governor").write_text("performance\n")
    (tmp_path / "driver").write_text("NVRM version: 580.1\nGCC version: 12\n")
    monkeypatch.setattr(hardware, "GOVERNOR", tmp_path / "governor")
    monkeypatch.setattr(hardware, "DRIVER", tmp_path / "driver")
    gpu = hardware.environment(threads=1, device="cuda", hardware="a GPU", packages=())
    assert (gpu.governor, gpu.driver, gpu.hardware) == ("performance", "NVRM version: 580.1", "a GPU")
    assert hardware.environment(threads=1, packages=()).driver == ""


def test_what_the_system_does_not_tell_is_empty(tmp_path, monkeypatch):
    monkeypatch.setattr(hardware, "GOVERNOR", tmp_path / "none")
    assert hardware.environment(threads=1, packages=()).governor == ""


def test_an_environment_is_completed_by_what_another_has_recorded(here):
    was = msgspec.structs.replace(here, versions={"torch": "1", "numpy": "0", "no-such-package": "3"})
    found = hardware.completed(here, was)
    assert found.versions == {"torch": "2", "numpy": numpy.__version__, "no-such-package": "none"}
    assert hardware.completed(here, here) == here
