"""`sensitivity` trains if it has to, prints a table or records, draws, and goes on where it was stopped."""

from __future__ import annotations

import msgspec
import pytest

from prunebench.records import SensitivityRecord

NET = """
from torch import nn

def build(classes):
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, classes)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 6, 3), *head)
"""
ASKED = ("--model", "net.py:build", "--image-size", "8", "--epochs", "1", "--limit-train", "100", "--limit-test", "50")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NET)
    return tmp_path


def test_the_model_is_trained_each_layer_pruned_and_the_picture_drawn(prunebench, here):
    shown = prunebench("sensitivity", *ASKED, "--shares", "0.5,0.25", "-o", "map.pdf")
    assert shown.status == 0, shown.err
    lines = shown.out.splitlines()
    assert lines[0].startswith("net-dense-")
    assert lines[1].split() == ["layer", "kind", "units", "−25", "%", "−50", "%"]
    assert [line.split()[:3] for line in lines[2:4]] == [["0", "channels", "8"], ["2", "channels", "6"]]
    assert "100 samples of the training data" in shown.out
    assert (here / "map.pdf").read_bytes().startswith(b"%PDF")
    again = prunebench("sensitivity", "--run", lines[0], "--shares", "0.25,0.5", "--quiet", "--json")
    assert (again.status, again.out) == (0, "")


def test_json_is_a_record_per_cell_and_a_run_is_pruned_otherwise(prunebench, here):
    found = prunebench("prune", *ASKED, "--iterations", "1", "--finetune-epochs", "1", "--json")
    run = msgspec.json.decode(found.out.splitlines()[-1])["run"]
    shown = prunebench("sensitivity", "--run", run, "--method", "unstructured", "--shares", "0.5", "--json")
    assert shown.status == 0, shown.err
    cells = [msgspec.json.decode(line, type=SensitivityRecord) for line in shown.out.splitlines()]
    assert [(cell.layer, cell.method, cell.criterion, cell.left) for cell in cells] == [
        ("0", "unstructured", "l1", 108),
        ("2", "unstructured", "l1", 216),
        ("5", "unstructured", "l1", 30),
    ]
    assert all("-dense-" in cell.run for cell in cells)


def test_how_a_trained_model_was_pruned_first_does_not_matter(prunebench, here):
    pruned = (
        "--method",
        "unstructured",
        "--criterion",
        "random",
        "--exclude",
        "0",
        "--iterations",
        "1",
        "--finetune-epochs",
        "1",
        "--json",
    )
    assert prunebench("prune", *ASKED, *pruned).status == 0
    (dense,) = (here / "runs").glob("net-dense-*")
    shown = prunebench("sensitivity", "--run", dense.name, "--shares", "0.5")
    assert [line.split()[:3] for line in shown.out.splitlines()[2:4]] == [
        ["0", "channels", "8"],
        ["2", "channels", "6"],
    ]
    assert "(structured, l2)" in shown.out
    own = prunebench("sensitivity", "--run", next((here / "runs").glob("net-unstructured-*")).name, "--shares", "0.5")
    assert [line.split()[0] for line in own.out.splitlines()[2:4]] == ["2", "5"]
    assert "(unstructured, random)" in own.out


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (("--shares", "0.5,1"), "--shares 1: a share is between 0 and 1"),
        (("--shares", "a"), "is not a list of numbers"),
        (("--samples", "0"), "--samples"),
        (("--method", "none"), "give structured or unstructured"),
        (("--method", "depth"), "give structured or unstructured"),
        (("--criterion", "influence"), "scores whole blocks"),
        (("-o", "map.jpg"), "ends with .png, .svg or .pdf"),
        (("--run", "nowhere"), "no run 'nowhere'"),
        (("--fraction", "0.5"), "No such option"),
    ],
)
def test_what_cannot_work_is_refused_in_a_line_before_anything_is_trained(asked, words, prunebench, here):
    model = () if "--run" in asked else ASKED
    refused = prunebench("sensitivity", *model, *asked)
    assert (refused.status, refused.out) == (2, "")
    assert words in refused.err
    assert len(refused.err.strip().splitlines()) <= 4
    assert not (here / "runs").exists()
