"""The wheel, made of the sdist, holds the whole package and nothing else, and works from an empty folder."""

import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("build")
pytest.importorskip("twine")

ROOT = Path(__file__).parent.parent
FILES = ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md", "ARCHITECTURE.md", "Makefile")
PACKAGE = {
    path.relative_to(ROOT / "src").as_posix()
    for path in (ROOT / "src" / "prunebench").rglob("*")
    if path.is_file() and path.suffix not in (".pyc", ".pyo")
}


def python(*arguments, cwd, **more):
    """Run Python in a folder, without the folder on its path."""
    environment = os.environ | {"PYTHONSAFEPATH": "1"} | more
    found = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The sdist, and the wheel that is built of it, by what is installed here, without a network."""
    folder = tmp_path_factory.mktemp("build")
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", ".*")
    for name in FILES:
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "src", folder / "src", ignore=ignored)
    for name in ("configs", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    python("-m", "build", "--no-isolation", "--outdir", "out", ".", cwd=folder)
    (sdist,), (wheel,) = (list((folder / "out").glob(pattern)) for pattern in ("*.tar.gz", "*.whl"))
    return sdist, wheel


def test_the_wheel_is_the_package_and_the_sdist_has_its_tests(built):
    sdist, wheel = built
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == PACKAGE
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert {f"src/{name}" for name in PACKAGE} | {"tests/conftest.py", "configs/criteria.toml", "LICENSE"} <= inside


def test_an_index_would_take_both(built):
    told = python("-m", "twine", "check", "--strict", *map(str, built), cwd=built[0].parent)
    assert told.count("PASSED") == 2


def test_it_works_from_an_empty_folder_with_the_wheel_alone(built, tmp_path):
    with zipfile.ZipFile(built[1]) as wheel:
        wheel.extractall(tmp_path / "site")
    (tmp_path / "empty").mkdir()
    at = {"cwd": tmp_path / "empty", "PYTHONPATH": str(tmp_path / "site")}
    assert python("-c", "import prunebench; print(prunebench.__file__)", **at).startswith(str(tmp_path / "site"))
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert python("-m", "prunebench", "--version", **at).strip().endswith(f"prunebench, version {version}")
    assert "resnet18" in python("-m", "prunebench", "list", **at)
    assert list((tmp_path / "empty").iterdir()) == []
