"""Models that libraries have by name: ten of timm and five of torchvision go all the way; what is told of a model that
returns several tensors; and runs of timm where timm is missing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from prunebench import RunConfig, load
from prunebench.models.sizes import tensors_of

MODELS = {
    "timm:resnet10t": 32,
    "timm:efficientnet_lite0.ra_in1k": 32,
    "timm:mobilenetv3_small_050": 32,
    "timm:convnext_atto": 32,
    "timm:vit_tiny_patch16_224": 32,
    "timm:deit_tiny_patch16_224.fb_in1k": 32,
    "timm:swin_tiny_patch4_window7_224": 32,
    "timm:mixer_s32_224": 32,
    "timm:regnetx_002": 32,
    "timm:densenet121": 32,
    "torchvision:squeezenet1_1": 32,
    "torchvision:shufflenet_v2_x0_5": 32,
    "torchvision:mobilenet_v3_small": 32,
    "torchvision:regnet_y_400mf": 32,
    "torchvision:googlenet": 64,
}
"""Name → size of images, pixels, smaller than they are made for."""

SMALL = ("--dataset", "digits", "--limit-train", "60", "--limit-test", "30", "--epochs", "1")
UPDATE = "_update(model, loss, optimizer, masking, recipe.clip_norm)"


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_a_model_of_a_library_goes_all_the_way(model, prunebench, nursery, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    of = ("--model", model, *SMALL, "--image-size", str(MODELS[model]), "--threads", "1", "--device", "cpu")
    structured = ("--method", "structured", "--fraction", "0.3", "--iterations", "2", "--finetune-epochs", "1")
    config = RunConfig(
        **{"model": model, "dataset": "digits", "limit_train": 60, "limit_test": 30, "epochs": 1, "threads": 1},
        **{"image_size": MODELS[model], "method": "structured", "fraction": 0.3, "iterations": 2, "device": "cpu"},
    )

    def do(*words):
        done = prunebench(*words)
        assert done.status == 0, done.err
        return done

    do("train", *of)
    killed = nursery.compute(
        replaced(config, runs_dir=str(tmp_path / "runs"), results_dir=str(tmp_path / "performance")),
        at=["training/fit.py", UPDATE, 2],
        do="kill",
        write=False,
    )
    assert killed["killed"], killed
    assert killed["happened"]
    told = do("prune", *of, *structured, "--json")
    *_, last = map(json.loads, told.out.splitlines())
    assert last["step"] == 2
    assert last["units"]
    assert all(unit["left"] < unit["original"] for unit in last["units"])
    never = ("--runs-dir", "never-stopped", "--results-dir", "never-stopped")
    do("prune", *of, *structured, *never)
    assert weights_in(tmp_path / "runs") == weights_in(tmp_path / "never-stopped")

    masked = ("--method", "unstructured", "--fraction", "0.5", "--iterations", "1", "--finetune-epochs", "1")
    do("prune", *of, *masked)
    (run,) = (path for path in (tmp_path / "runs").iterdir() if "-structured-" in path.name)
    assert "ok" in do("verify", str(run)).out
    do("efficiency", "--run", run.name, "--batch-sizes", "1", "--time-budget", "1", "--steps", "2")
    do("evaluate", *of, *structured, "--steps", "2")
    for to in ("safetensors", "pt2"):
        do("export", str(run), "--to", to, "--output", f"net.{to}")
    loaded, exported = load(str(run)), tensors_of(load("net.safetensors"))
    assert all(torch.equal(tensor, exported[name]) for name, tensor in tensors_of(loaded).items())
    assert not loaded.training


def replaced(config, **changes):
    return RunConfig(**{**{name: getattr(config, name) for name in config.__struct_fields__}, **changes})


def weights_in(runs: Path) -> bytes:
    (run,) = (path for path in runs.iterdir() if "-structured-" in path.name)
    return (run / "steps" / "002" / "model.safetensors").read_bytes()


SEVERAL = """
from torch import nn


class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU())
        self.main, self.aux = nn.Linear(8, classes), nn.Linear(8, classes)

    def forward(self, images):
        features = self.body(images).mean((2, 3))
        return {"features": features, "main": self.main(features), "aux": self.aux(features)}


def build(classes):
    return Net(classes)
"""

CLEAN = """
import sys, torch
from prunebench import load
model = load(sys.argv[1])
found = model(torch.zeros(2, 3, 16, 16))
assert set(found) == {"features", "main", "aux"}, found
assert found["aux"].shape == (2, 10)
"""


def test_which_output_is_meant_is_told_stored_and_heeded_by_every_command(prunebench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(SEVERAL)
    of = ("--model", "net.py:build", *SMALL, "--image-size", "16", "--device", "cpu")

    def do(*words, status=0):
        done = prunebench(*words)
        assert done.status == status, done.err
        return done

    usual = do("train", *of)
    assert "main is taken for its scores, and features, aux left out" in usual.err
    assert "90 parameters in aux" in usual.err
    other = do("prune", *of, "--output", "aux", "--fraction", "0.3", "--iterations", "1", "--finetune-epochs", "1")
    assert "aux is taken for its scores, and features, main left out" in other.err
    assert len([path for path in Path("runs").iterdir() if "-dense-" in path.name]) == 2
    (run,) = (path for path in Path("runs").iterdir() if "-structured-" in path.name)
    assert '"output": "aux"' in (run / "steps" / "001" / "structure.json").read_text()
    assert "ok" in do("verify", str(run)).out
    do("evaluate", *of, "--output", "aux", "--fraction", "0.3", "--steps", "1")
    do("efficiency", "--run", run.name, "--batch-sizes", "1", "--time-budget", "1", "--steps", "1")
    for to in ("safetensors", "pt2"):
        do("export", str(run), "--to", to, "--output", f"net.{to}")
    exported = load("net.safetensors", "net.py:build")
    images = torch.randn(2, 3, 16, 16)
    program = torch.export.load("net.pt2").module()
    torch.testing.assert_close(program(images), exported(images)["aux"])
    subprocess.run([sys.executable, "-c", CLEAN, str(run)], check=True)

    wrong = do("train", *of, "--output", "heads", status=2)
    assert "Error: --output heads: the model returns no such tensor; it returns dict: features (1×8)" in wrong.err
    assert "main (1×10), aux (1×10)" in wrong.err


WITHOUT = """
import sys
sys.modules["timm"] = None
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name == "timm" else find(name, *more)
from prunebench.cli.main import main
try:
    main()
finally:
    assert "verify" in sys.argv or "torch" not in sys.modules
"""


def test_runs_of_timm_are_listed_drawn_and_reported_without_it(prunebench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    of = ("--model", "timm:resnet10t", *SMALL, "--image-size", "16", "--device", "cpu")
    done = prunebench("prune", *of, "--method", "unstructured", "--iterations", "1", "--finetune-epochs", "1")
    assert done.status == 0, done.err
    (run,) = (path for path in Path("runs").iterdir() if "-unstructured-" in path.name)
    assert json.loads((run / "environment.json").read_text())["versions"]["timm"]
    (matrix,) = Path("performance").glob("timm-resnet10t_*_performance.txt")
    assert "model=timm:resnet10t" in matrix.read_text()

    def without(*words, status=0):
        done = subprocess.run([sys.executable, "-c", WITHOUT, *words], capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stderr
        return done

    assert "timm-resnet10t-unstructured-" in without("runs").stdout
    without("plot", "runs", "-o", "plots")
    without("report", "runs", "-o", "report.html")
    assert "timm:resnet10t" in Path("report.html").read_text()
    assert without("verify", str(run), status=2).stderr.splitlines()[-1].startswith("Error: timm is not installed")
