"""What an experiment knows of itself: its phases, what is still to be done, each file of the user's read once."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from msgspec.structs import replace
from safetensors.torch import save_file
from torch import nn

from prunebench import prune, train
from prunebench.cli.main import main
from prunebench.config import RunConfig, field_types
from prunebench.experiment.resolve import resolve
from prunebench.user_code import SETTLED_NS


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_trainings_that_are_still_to_be_done_are_told(make_record, commit, tmp_path):
    (tmp_path / "head.toml").write_text("epochs = 3\nfreeze = true\n", encoding="utf-8")
    experiment = resolve(RunConfig(model="resnet18", weights="head.toml"))
    first, second = experiment.phases
    assert experiment.untrained_phases() == [first, second]
    commit(first.dense, make_record())
    assert experiment.untrained_phases() == [second]
    commit(second.dense, make_record())
    assert experiment.untrained_phases() == []
    first.dense.delete()
    assert experiment.untrained_phases() == []


FILES = {
    "net.py": "from torch import nn\n\ndef build(classes):\n"
    "    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, classes))\n",
    "mine.py": "def score(weight):\n    return weight.abs()\n",
    "first.toml": 'weights = "start.safetensors"\nepochs = 1\nfreeze = true\n',
}


@pytest.fixture
def project(tmp_path):
    """The files of a user, as old as such files are: a config of a run of them that takes a moment."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    layers = nn.Sequential(nn.Conv2d(3, 6, 3), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 10))
    save_file(layers.state_dict(), tmp_path / "start.safetensors")
    for path in tmp_path.iterdir():
        os.utime(path, (10**9, 10**9))
    time.sleep(SETTLED_NS / 1e9)
    small = {
        "image_size": 12,
        "limit_train": 40,
        "limit_test": 20,
        "epochs": 1,
        "iterations": 1,
        "finetune_epochs": 1,
        "device": "cpu",
    }
    return RunConfig(model="net.py:build", criterion="mine.py:score", weights="first.toml", **small)


@pytest.fixture
def reads(monkeypatch):
    """How often each of the user's files is opened, but for the tensors of a weight file, which a library reads."""
    found, whole = Counter(), os.open

    def counted(path, *about, **more):
        found[Path(path).name] += 1
        return whole(path, *about, **more)

    monkeypatch.setattr(os, "open", counted)
    return lambda: {name: count for name, count in found.items() if name in {*FILES, "start.safetensors"}}


ONCE = dict.fromkeys(["net.py", "mine.py", "first.toml", "start.safetensors"], 1)


def test_each_file_of_a_user_is_read_once(project, reads):
    experiment = resolve(project)
    assert len(list(prune(experiment, experiment.run))) == 2
    assert train(experiment, experiment.dense).step == 0
    assert [len(list(Path("runs").glob(f"net-{kind}-*"))) for kind in ("dense", "structured")] == [2, 1]
    assert reads() == ONCE


@pytest.mark.parametrize("goal", [[], ["--until", "params<=0.95"]])
def test_each_file_of_a_user_is_read_once_by_a_command(goal, project, reads, monkeypatch, capsys):
    given = {name: getattr(project, name) for name in field_types() if getattr(project, name) is not None}
    options = [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    for again in (False, True):
        monkeypatch.setattr(sys, "argv", ["prunebench", "prune", "--quiet", *options, *goal])
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == 0, capsys.readouterr()
        assert reads() == ONCE | {"first.toml": 1 + again}  # a second command of the same process knows what it read


def test_a_weight_file_is_hashed_once_for_both_runs(project, reads):
    experiment = resolve(replace(project, weights="start.safetensors"))
    assert (experiment.origin.kind, experiment.origin.pretrained, experiment.first) == ("file", True, None)
    assert experiment.dense.manifest.contents["weights"] == experiment.run.manifest.contents["weights"]
    assert len(list(prune(experiment, experiment.run))) == 2
    assert reads() == {name: 1 for name in ONCE if name != "first.toml"}
