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


def test_layers_are_drawn_where_that_is_asked_for(prunebench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NET)
    asked = ("inspect", "--model", "net.py:build", "--image-size", "8")
    shown = prunebench(*asked, "-o", "layers.png")
    assert (shown.status, "written layers.png" in shown.err) == (0, True)
    assert (tmp_path / "layers.png").read_bytes().startswith(b"\x89PNG")
    for name, words in (("layers.jpg", "ends with .png, .svg or .pdf"), ("net.py/a.png", "net.py")):
        refused = prunebench(*asked, "-o", name)
        assert (refused.status, refused.out) == (2, "")
        assert words in refused.err


def test_units_are_chosen_and_norms_are_told_of(prunebench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = "class Net(nn.Module):\n    def __init__(self, classes):\n        super().__init__()\n"
    text += "        self.stem, self.norm, self.head = nn.Conv2d(3, 8, 2, 2), nn.LayerNorm(8), nn.Linear(8, classes)\n"
    text += "    def forward(self, x):\n        return self.head(self.norm(self.stem(x).flatten(2).mT).mean(1))\n"
    (tmp_path / "net.py").write_text(
        f"from torch import nn\n\n{text}\n\ndef build(classes):\n    return Net(classes)\n"
    )
    asked = ("inspect", "--model", "net.py:build", "--image-size", "8")
    assert "its channels hang together" in prunebench(*asked).err + prunebench(*asked).out
    through = prunebench(*asked, "--through-norms", "--floor", "0.75", "--fraction", "0.5")
    assert "norms average over the channels that are left" in through.out
    assert "8×3×2×2 → 6×3×2×2" in through.out
    assert "none of --prune heads" in prunebench(*asked, "--through-norms", "--prune", "heads").err


def test_blocks_are_shown_with_their_proof(prunebench, tmp_path):
    shown = prunebench("inspect", "--model", "resnet18", "--method", "depth", "-o", str(tmp_path / "a.png"))
    assert shown.status == 0, shown.err
    assert "layer1.0    74 k  4.72 M  BasicBlock" in shown.out
    assert "removal proved exact on this model: 5 blocks" in shown.out
    assert "layer1.0.conv1         ░░░                       64×64×3×3 → 0×64×3×3" in shown.out
    refused = prunebench("inspect", "--model", "resnet18", "--method", "none")
    assert (refused.status, refused.out) == (2, "")
    assert "leave out --method, or give structured or depth" in refused.err
