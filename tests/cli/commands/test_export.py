"""`export` writes a step as one file, checked against the model, for use elsewhere."""

from __future__ import annotations

import re
import shutil

import pytest
import torch

import prunebench as package


@pytest.fixture
def run(digits_run):
    """The folder of a pruned run of three steps."""
    (found,) = (digits_run.folder / "runs").glob("resnet18-structured-*")
    return found


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("to", ["safetensors", "pt2"])
def test_a_step_is_written_with_what_it_reads_and_how_far_it_is_from_the_model(to, run, prunebench, tmp_path):
    finished = prunebench("export", str(run), "--step", "1", "--to", to)
    assert finished.status == 0, finished.err
    path = tmp_path / f"{run.name}-step1.{to}"
    assert f"written {path.name} (" in finished.out
    assert "reads 32×32 images, batch size free" in finished.out
    told = re.search(r"batches of 1, 2 and 5: (\S+)$", finished.out, re.MULTILINE)
    assert float(told.group(1)) <= 1e-4
    images = torch.randn(3, 3, 32, 32)
    expected = package.load(run / "steps" / "001")(images)
    model = package.load(path) if to == "safetensors" else torch.export.load(path).module()
    torch.testing.assert_close(model(images), expected)
    assert "a logit per class, in this order: 0, 1, 2, 3 and 6 more\n" in finished.out


def test_the_last_step_is_the_default_and_the_file_can_be_named(run, prunebench, tmp_path):
    finished = prunebench("export", str(run), "--output", "new/here.safetensors")
    assert "step 2 of run" in finished.out
    found, expected = package.load(tmp_path / "new" / "here.safetensors"), package.load(run)
    assert all(torch.equal(a, b) for a, b in zip(found.parameters(), expected.parameters(), strict=True))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--step", "9"), "has no step 9; it has: 0, 1, 2"),
        (("--to", "exe"), "'exe' is not one of"),
        (("--output", "/proc/nowhere/x.safetensors"), "/proc/nowhere"),
        (("--output", "mine.py"), "--to safetensors writes a file whose name ends in .safetensors"),
        (("--to", "masks", "--output", "x.pt"), "--to masks writes a file whose name ends in .safetensors"),
        (("--to", "pt2", "--output", "x.pt"), "--to pt2 writes a file whose name ends in .pt2"),
    ],
)
def test_what_cannot_be_written_is_told(arguments, words, run, prunebench, tmp_path):
    finished = prunebench("export", str(run), *arguments)
    assert (finished.status, finished.out) == (2, "")
    assert words in finished.err.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_checkpoint_is_not_written(run, prunebench, tmp_path):
    shutil.copytree(run, tmp_path / "copy" / run.name)
    (tmp_path / "copy" / run.name / "steps/002/model.safetensors").write_bytes(b"")
    finished = prunebench("export", str(tmp_path / "copy" / run.name), "--output", "x.safetensors")
    assert finished.status == 2
    assert "002/model.safetensors is damaged" in finished.err
    assert not (tmp_path / "x.safetensors").exists()
    with pytest.raises(package.PrunebenchError, match="is damaged"):
        package.load(tmp_path / "copy" / run.name)
    with pytest.raises(package.PrunebenchError, match="is damaged"):
        package.load(tmp_path / "copy" / run.name / "steps" / "002")


def test_a_folder_for_transformers_is_of_its_models_alone_and_replaces_nothing(run, prunebench, tmp_path):
    refused = prunebench("export", str(run), "--to", "hf", "-o", "out")
    assert refused.status == 2
    assert "--to hf is for models of transformers (bert, hf:NAME), and resnet18 is none" in refused.err
    (tmp_path / "out").mkdir()
    there = prunebench("export", str(run), "--to", "hf", "-o", "out")
    assert there.status == 2
    assert "is there already, and nothing is replaced" in there.err
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
