"""Hardware: what of this machine stands beside every figure. Knows no torch."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import msgspec

from prunebench.errors import ConfigError
from prunebench.records import Environment
from prunebench.runs.processors import cpu

RECORDED = ("prunebench", "torch", "torchvision", "transformers", "torch-pruning", "numpy")


def completed(now: Environment, was: Environment) -> Environment:
    """An environment with the versions here of whatever another one has recorded; "none" where it is not installed."""
    missing = [name for name in was.versions if name not in now.versions]
    return msgspec.structs.replace(now, versions={**now.versions, **{name: version_of(name) for name in missing}})


def version_of(package: str) -> str:
    """The version of a package that is named as it is installed or imported; "none" where it is not there.

    Where another distribution brings what is imported by this name, it is told: `onnxruntime-gpu 1.22.0`. "unknown"
    where it does not tell.
    """
    if found := _version(package):
        return found
    module = package.replace("-", "_")
    names = {name for name in _brings().get(module, ()) if name}
    if told := [f"{name} {_version(name)}" for name in sorted(names)]:
        return ", ".join(told)
    try:
        return "none" if importlib.util.find_spec(module) is None else "unknown"
    except ValueError:  # it was imported, and does not say from where
        return "unknown"


def _version(distribution: str) -> str | None:
    """The version of what is installed under a name; None where nothing is."""
    try:
        told = importlib.metadata.metadata(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
    return told["Version"] if "Version" in list(told) else "unknown"  # what is missing is warned of


def distributions(modules: Iterable[str]) -> set[str]:
    """The installed packages beside the usual ones that bring modules of these top-level names, by their normal names.

    `scikit-learn` of `sklearn`; nothing of what no package brings, such as Python's own.
    """
    usual = {name.replace("-", "_") for name in RECORDED}
    unusual = [name for name in modules if name not in usual and name not in sys.stdlib_module_names]
    brings = _brings() if unusual else {}
    return {re.sub(r"[-_.]+", "-", each).lower() for name in unusual for each in brings.get(name, ())}


def _brings() -> Mapping[str, Sequence[str]]:
    """Top-level module to the packages that bring it: asked once, and again where a folder of packages has changed."""
    return _brings_at(tuple(place for place in map(_changed, sys.path) if _holds_packages(*place)))


@lru_cache(1)
def _brings_at(places: tuple[tuple[str, int], ...]) -> Mapping[str, Sequence[str]]:
    return importlib.metadata.packages_distributions()  # half a second


def _changed(folder: str) -> tuple[str, int]:
    """A place of modules, and when it has changed; 0 where it is not there."""
    path = Path(folder).absolute()
    try:
        return str(path), path.stat().st_mtime_ns
    except OSError:
        return str(path), 0


@lru_cache
def _holds_packages(path: str, changed_ns: int) -> bool:
    try:
        return any(each.name.lower().endswith((".dist-info", "egg-info")) for each in Path(path).iterdir())
    except NotADirectoryError:  # a zip file
        return True
    except OSError:
        return False


GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
DRIVER = Path("/proc/driver/nvidia/version")

MOST = 256
"""Threads or processes that may be asked for on a machine of fewer cores."""


def environment(
    *,
    seed: int = 0,
    device: str = "cpu",
    hardware: str | None = None,
    threads: int,
    deterministic: bool = False,
    precision: str = "",
    packages: Sequence[str] = RECORDED,
    devices: int = 1,
) -> Environment:
    """This machine and the versions of these packages; `hardware` is the GPU's name where one computes."""
    return Environment(
        seed=seed,
        device=device,
        hardware=hardware or cpu(),
        threads=threads,
        deterministic=deterministic,
        precision=precision,
        platform=platform.platform(),
        python=platform.python_version(),
        versions={name: version_of(name) for name in packages},
        cores=os.cpu_count() or 0,
        governor=_line(GOVERNOR),
        driver=_line(DRIVER) if device == "cuda" else "",
        devices=devices,
    )


def check_processes(option: str, count: int | None) -> None:
    """Raise ConfigError where an option asks for more threads or processes than any machine like this one can use."""
    most = max(MOST, os.cpu_count() or 0)
    if count is not None and count > most:
        raise ConfigError(f"{option} {count}: this machine has {os.cpu_count()} cores; give {most} at most.")


def _line(path: Path) -> str:
    """The first line of a file; empty where there is none."""
    try:
        return path.read_text(encoding="utf-8").partition("\n")[0].strip()
    except OSError:
        return ""
