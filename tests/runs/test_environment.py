"""What of this machine stands beside every figure."""

from __future__ import annotations

import importlib.metadata
import os
import sys

import msgspec
import numpy
import pytest

from prunebench.errors import ConfigError
from prunebench.latency.backends import backends
from prunebench.runs import environment as hardware


def test_the_environment_names_cpu_cores_threads_and_versions():
    found = hardware.environment(threads=3, packages=("numpy", "click"))
    assert (found.device, found.threads, found.cores) == ("cpu", 3, os.cpu_count())
    assert found.hardware == hardware.cpu() != ""
    assert set(found.versions) == {"numpy", "click"}


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Installs distributions that tell nothing but a name, a version and what they import as."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])

    def install(name, version, module):
        folder = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        folder.mkdir()
        told = f"Version: {version}\n" if version else ""
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\n{told}")
        (folder / "top_level.txt").write_text(f"{module}\n")
        (tmp_path / f"{module}.py").write_text("")

    return install


def test_a_package_is_found_by_what_it_imports_as_under_whatever_name_it_was_installed(installed):
    installed("some-runtime-gpu", "1.22.0", "some_runtime")
    assert hardware.version_of("some-runtime-gpu") == "1.22.0"
    assert hardware.version_of("some_runtime") == hardware.version_of("some-runtime") == "some-runtime-gpu 1.22.0"
    installed("some-runtime-directml", "1.21.0", "some_runtime")
    assert hardware.version_of("some_runtime") == "some-runtime-directml 1.21.0, some-runtime-gpu 1.22.0"
    installed("some-runtime", "1.20.0", "some_runtime")
    assert hardware.version_of("some_runtime") == "1.20.0"


def test_what_is_installed_is_looked_through_again_only_where_it_has_changed(installed, tmp_path, monkeypatch):
    asked, real = [], importlib.metadata.packages_distributions
    monkeypatch.setattr(importlib.metadata, "packages_distributions", lambda: asked.append(1) or real())
    installed("first-of-two", "1", "one_of_two")
    assert [hardware.distributions(["one_of_two"]) for _ in range(2)] == [{"first-of-two"}] * 2
    (tmp_path / "mine").mkdir()
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "mine"), str(tmp_path / "none"), __file__])
    monkeypatch.chdir(tmp_path / "mine")
    assert hardware.distributions(["one_of_two"]) == {"first-of-two"}
    assert len(asked) == 2  # the file in the path may be an archive with packages
    installed("second-of-two", "1", "two_of_two")
    assert hardware.distributions(["two_of_two"]) == {"second-of-two"}
    assert len(asked) == 3


@pytest.mark.parametrize("name", backends.names())
def test_the_packages_of_a_backend_may_be_installed_under_any_name(name, monkeypatch):
    needs = backends.get(name).needs
    monkeypatch.setattr(hardware, "_version", lambda name: "9.1" if name.endswith("-gpu") else None)
    brought = {name: [f"{name}-gpu"] for name in needs}
    monkeypatch.setattr(hardware, "_brings", lambda: brought)
    assert hardware.environment(threads=1, packages=needs).versions == {name: f"{name}-gpu 9.1" for name in needs}


def test_no_version_is_worth_an_error(installed, tmp_path):
    installed("no-version", "", "of_no_version")
    (tmp_path / "lies_about.py").write_text("")
    (tmp_path / "no_metadata-2.dist-info").mkdir()
    names = ("no-version", "of_no_version", "lies_about", "no-such-package", "no-metadata")
    versions = hardware.environment(threads=1, packages=names).versions
    assert versions == {
        "no-version": "unknown",
        "of_no_version": "no-version unknown",
        "lies_about": "unknown",
        "no-such-package": "none",
        "no-metadata": "unknown",
    }


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


def test_packages_are_known_by_what_they_bring_and_the_usual_ones_are_not_told_again():
    assert hardware.distributions(["sklearn", "PIL", "json", "torch", "torch_pruning", "none_such"]) == {
        "scikit-learn",
        "pillow",
    }
    assert hardware.distributions(["torch", "sys"]) == set()


def test_an_environment_is_completed_by_what_another_has_recorded(here):
    was = msgspec.structs.replace(here, versions={"torch": "1", "numpy": "0", "no-such-package": "3"})
    found = hardware.completed(here, was)
    assert found.versions == {"torch": "2", "numpy": numpy.__version__, "no-such-package": "none"}
    assert hardware.completed(here, here) == here


@pytest.mark.parametrize(("cores", "most"), [(2, 256), (None, 256), (768, 768)])
def test_no_more_threads_are_used_than_a_machine_can_have(cores, most, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    hardware.check_processes("--threads", most)
    hardware.check_processes("--threads", None)
    with pytest.raises(ConfigError, match=f"^--threads {most + 1}: .* has {cores} cores; give {most} at most"):
        hardware.check_processes("--threads", most + 1)
