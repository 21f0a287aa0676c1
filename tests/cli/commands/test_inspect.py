"""`inspect` shows units and their proof, as a table and as a record."""

from __future__ import annotations

import msgspec

from prunebench.records import Inspection

NET = """
from torch import nn

def build(classes, width=8):
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, classes)
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.ReLU(), nn.Conv2d(width, 6, 3), *head)
"""


def test_the_table_tells_units_what_is_spared_the_proof_and_a_step(prunebench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NET)
    shown = prunebench("inspect", "--model", "net.py:build", "--image-size", "8", "--fraction", "0.5")
    assert shown.status == 0, shown.err
    assert "channels       8  0" in shown.out
    assert "spared: 5 (it reaches the output)" in shown.out
    assert "removal proved exact on this model: 2 groups" in shown.out
    assert "8×3×3×3 → 4×3×3×3" in shown.out
    assert [path.name for path in tmp_path.iterdir() if path.name != "__pycache__"] == ["net.py"]


def test_json_is_the_record(prunebench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NET)
    asked = ("--model", "net.py:build", "--model-arg", "width=4", "--image-size", "8", "--classes", "3", "--json")
    found = msgspec.json.decode(prunebench("inspect", *asked).out, type=Inspection)
    assert [(group.kind, group.units) for group in found.groups] == [("channels", 6), ("channels", 4)]
    assert found.layers[-1].shape_original == (3, 6)


def test_a_model_that_does_not_run_is_refused_in_a_line(prunebench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NET.replace("nn.Linear(6", "nn.Linear(7"))
    failed = prunebench("inspect", "--model", "net.py:build", "--image-size", "8")
    assert (failed.status, failed.out) == (2, "")
    assert "Traceback" not in failed.err
