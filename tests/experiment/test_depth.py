"""Runs that remove whole blocks are recorded, resumed, verified, timed, exported and loaded as any other."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys

import msgspec
import pytest
import torch
from torch import nn

from prunebench import load
from prunebench.config import RunConfig
from prunebench.errors import ConfigError, RunError, Stopped
from prunebench.experiment.loop import prune
from prunebench.experiment.resolve import pruning_run, resolve
from prunebench.experiment.setup import set_up
from prunebench.experiment.verify import verify
from prunebench.latency.config import EfficiencyConfig
from prunebench.latency.timing import time_run
from prunebench.models import checkpoint
from prunebench.models.export import export

NET = """
from torch import nn


class Residual(nn.Module):
    def __init__(self, stride=1):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(8, 8, 3, stride, padding=1), nn.BatchNorm2d(8)
        self.skip = nn.Conv2d(8, 8, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, images):
        return (self.skip(images) + self.norm(self.conv(images))).relu()


def build(classes):
    blocks = [Residual(), Residual(), Residual(2), Residual(), Residual()]
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, classes)
    )
"""


@pytest.fixture
def config(tiny_config, tmp_path):
    path = tmp_path / "net.py"
    path.write_text(NET, encoding="utf-8")
    return tiny_config(model=f"{path}:build", method="depth", fraction=0.3, iterations=4)


def files(run):
    found = [path for path in run.folder.glob("steps/*/*") if path.name != "record.json"]
    return {str(path.relative_to(run.folder)): path.read_bytes() for path in found}


def test_blocks_go_step_by_step_until_one_is_left_and_are_recorded(config):
    records = list(prune(config))
    assert [[(unit.kind, unit.before, unit.left) for unit in record.units] for record in records] == [
        [("blocks", 4, 4)],
        [("blocks", 4, 3)],
        [("blocks", 3, 2)],
        [("blocks", 2, 1)],
        [("blocks", 1, 1)],
    ]
    removed = [block.name for record in records for block in record.removed]
    assert len(set(removed)) == 3
    assert set(removed) < {"2", "3", "5", "6"}
    assert all(0 < block.score < 2 for record in records for block in record.removed)
    assert records[0].params - records[1].params == 8 * 8 * 9 + 3 * 8
    assert records[3].macs < records[2].macs < records[1].macs < records[0].macs
    gone = [layer for layer in records[4].layers if layer.weights_left == 0]
    assert {layer.name for layer in gone} == {f"{name}.conv" for name in removed}
    assert all((layer.shape, layer.collapsed) == ((0, 8, 3, 3), "") for layer in gone)
    assert records[4].notes == ("nothing was removed: one block is left, which stays",)
    assert records[0].summary.proof.blocks == 4
    assert records[0].summary.spared["4"] == "it gives another shape than it is given"


def test_a_run_stopped_after_many_batches_equals_one_that_never_stopped(config, tmp_path):
    whole = pruning_run(msgspec.structs.replace(config, runs_dir=str(tmp_path / "whole")))
    list(prune(msgspec.structs.replace(config, runs_dir=str(tmp_path / "whole")), whole))
    run, stops = pruning_run(config), 0
    for at in itertools.cycle((5, 7, 11)):
        asked = itertools.count(1)
        try:
            records = list(prune(config, run, stop=lambda asked=asked, at=at: next(asked) == at))
            break
        except Stopped:
            stops += 1
    assert stops > 2
    assert files(run) == files(whole)
    assert [record.removed for record in records] == [record.removed for record in whole.records()]


def test_what_is_left_is_verified_timed_exported_and_loaded_in_a_clean_process(config, tmp_path):
    run = pruning_run(config)
    records = list(prune(config, run))
    experiment = resolve(config)
    assert [verdict.differences for verdict in verify(run, experiment)] == [()] * 5
    (timing,) = time_run(run, config, EfficiencyConfig(steps=(3,), batch_sizes=(1,), time_budget=0.2))
    assert timing.pruned.macs == records[3].macs
    state = checkpoint.load(run.checkpoint(4), experiment.model)
    exported = tmp_path / "small.safetensors"
    export(state, "safetensors", exported, entry=experiment.model)
    code = f"""
import torch
import prunebench
from net import build
image = torch.linspace(-1, 1, 3 * 12 * 12).view(1, 3, 12, 12)
for path in {[str(exported), str(run.checkpoint(4))]}:
    model = prunebench.load(path, build)
    print(model(image).tolist(), sum(p.numel() for p in model.parameters()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    image = torch.linspace(-1, 1, 3 * 12 * 12).view(1, 3, 12, 12)
    expected = f"{state.model(image).tolist()} {records[4].params}"
    assert done.stdout.splitlines() == [expected, expected]


def test_names_of_blocks_that_the_model_has_not_are_damage(config, tmp_path):
    run = pruning_run(config)
    list(prune(config, run))
    folder = tmp_path / "copy"
    folder.mkdir()
    for path in run.checkpoint(4).iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    structure = json.loads((folder / "structure.json").read_text())
    assert len(structure["passing"]) == 3
    for passing in ({"nowhere": 0}, {"2": -1}, {"2": "x"}):
        (folder / "structure.json").write_text(json.dumps(structure | {"passing": passing}))
        with pytest.raises(RunError, match=r"no block .nowhere.|cannot be read as a checkpoint"):
            load(folder, config.model)


@pytest.mark.parametrize("criterion", ["random", lambda block: -sum(p.numel() for p in block.parameters())])
def test_other_criteria_rank_blocks_too(criterion, config):
    records = list(prune(msgspec.structs.replace(config, criterion=criterion, iterations=1)))
    assert [len(record.removed) for record in records] == [0, 1]


def test_a_model_without_blocks_is_refused_before_anything_is_trained(tiny_config, tmp_path):
    config = tiny_config(method="depth")
    with pytest.raises(ConfigError, match="no residual block of this model can be left out"):
        list(prune(config, pruning_run(config), stop=lambda: pytest.fail("it trained")))
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"criterion": "l1"}, "--criterion l1 scores single weights, and depth pruning ranks whole blocks"),
        ({"round_to": 8}, "--round-to is for structured pruning"),
        ({"floor": 0.5}, "--floor is for structured pruning"),
        ({"scope": "layerwise"}, "--scope is for unstructured pruning"),
    ],
)
def test_settings_of_other_methods_are_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        resolve(RunConfig(model="resnet18", method="depth", **given))


PAIRS = [
    ("structured", "depth"),
    ("depth", "structured"),
    *(
        pytest.param(*pair, marks=pytest.mark.slow)
        for pair in (("depth", "depth"), ("depth", "unstructured"), ("unstructured", "depth"))
    ),
]


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_a_model_that_was_pruned_one_way_is_pruned_another(first, second, tmp_path):
    given = {"model": "resnet18", "image_size": 16, "device": "cpu", "runs_dir": str(tmp_path), "iterations": 1}
    given |= {"limit_train": 40, "limit_test": 20, "fraction": 0.4, "finetune_epochs": 0}
    start = pruning_run(RunConfig(**given, method=first, epochs=1))
    before = list(prune(RunConfig(**given, method=first, epochs=1), start))[-1]
    config = RunConfig(**given, method=second, epochs=0, weights=start.key)
    run = pruning_run(config)
    whole, after = prune(config, run)
    assert (whole.params, whole.nonzero_params) == (before.params, before.nonzero_params)
    assert after.nonzero_params < whole.nonzero_params
    assert whole.summary.proof is None or whole.summary.proof.problem == ""
    assert [verdict.differences for verdict in verify(run, resolve(config))] == [(), ()]


def test_blocks_of_a_model_that_was_narrowed_before_go_as_well(config):
    narrow = msgspec.structs.replace(config, method="structured", criterion=None, iterations=1)
    first = pruning_run(narrow)
    list(prune(narrow, first))
    second = msgspec.structs.replace(config, weights=first.key, iterations=1, epochs=0)
    run = pruning_run(second)
    records = list(prune(second, run))
    assert records[1].units[0].left == 3
    state = checkpoint.load(run.checkpoint(1), resolve(second).model)
    assert set_up(resolve(second)).scores(state)[0] == records[1].test_after
    assert isinstance(state.model, nn.Module)
