"""Pipes, devices and sparse files where a file is named: an error at once, and nothing is waited for or filled up."""

from __future__ import annotations

import os
import time

import pytest
from PIL import Image


def sparse(path):
    with path.open("wb") as file:
        file.truncate(2**42)


ODD = {
    "a pipe": os.mkfifo,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "an endless device": lambda path: path.symlink_to("/dev/urandom"),
    "a sparse file": sparse,
}
PLACES = {
    "weights": ("odd.pth", ("evaluate", "--model", "resnet18", "--weights", "odd.pth")),
    "safetensors": ("odd.safetensors", ("evaluate", "--model", "resnet18", "--weights", "odd.safetensors")),
    "first phase": ("odd.toml", ("train", "--model", "resnet18", "--weights", "odd.toml")),
    "config": ("odd.toml", ("prune", "--config", "odd.toml")),
    "study": ("odd.toml", ("study", "odd.toml")),
    "model": ("odd.py", ("train", "--model", "odd.py:build")),
    "onnx": ("odd.onnx", ("efficiency", "--onnx", "odd.onnx", "--batch-sizes", "1")),
    "text": ("data/train.tsv", ("train", "--model", "bert", "--dataset", "text-file", "--data-dir", "data")),
    "matrix": ("resnet18_structured_performance.txt", ("plot", "resnet18_structured_performance.txt")),
    "compare": ("runs/odd", ("compare", "runs/odd", "criterion=l1")),
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("place", PLACES)
def test_it_is_told_in_a_line_at_once(place, kind, prunebench, tmp_path, monkeypatch):
    if (place, kind) == ("text", "a sparse file"):
        pytest.skip("data may be as large as it is")
    name, words = PLACES[place]
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    ODD[kind](tmp_path / name)
    before = sorted(tmp_path.rglob("*"))
    begun = time.monotonic()
    finished = prunebench(*words)
    assert time.monotonic() - begun < 10
    assert (finished.status, finished.out) == (2, "")
    (line,) = [line for line in finished.err.splitlines() if line.startswith("Error: ")]
    assert "odd" in line or "data" in line or "matrix" in line or "resnet18" in line
    assert len(line) < 500
    assert "Traceback" not in finished.err
    assert sorted(path for path in tmp_path.rglob("*") if ".digests" not in path.parts) == before


@pytest.mark.parametrize("kind", ["a pipe", "a device"])
def test_images_that_are_no_plain_files_are_passed_over(kind, prunebench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for part in ("train", "test"):
        for number, label in enumerate("ab"):
            (tmp_path / "data" / part / label).mkdir(parents=True)
            for image in range(4):
                picture = Image.new("RGB", (8, 8), (100 * number, 0, 10 * image))
                picture.save(tmp_path / "data" / part / label / f"{image}.png")
    ODD[kind](tmp_path / "data" / "train" / "a" / "odd.png")
    data = ("--dataset", "image-folder", "--data-dir", "data")
    finished = prunebench("train", "--model", "resnet18", *data, "--dry-run")
    assert finished.status == 0, finished.err


def test_a_loader_that_names_a_pipe_as_an_image_is_told(prunebench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo(tmp_path / "odd.png")
    (tmp_path / "parts.py").write_text(
        "from pathlib import Path\nfrom prunebench import Dataset, Split\n"
        "def load():\n"
        "    part = Split([Path('odd.png')] * 4, [0, 1, 0, 1])\n"
        "    return Dataset(part, part, ['a', 'b'])\n"
    )
    finished = prunebench("train", "--model", "resnet18", "--dataset", "parts.py:load")
    assert finished.status == 2
    assert "files of data cannot be read: odd.png (it is a pipe, and no plain file)" in finished.err
