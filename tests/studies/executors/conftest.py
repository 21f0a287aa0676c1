"""A study of runs that take a second, and one that fails."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from prunebench.experiment.experiment import Experiment
from prunebench.studies.file import read_study
from prunebench.studies.study import experiments_of

PARTS = """
import gc, multiprocessing.synchronize, os, signal, time
from pathlib import Path
import numpy as np
from torch import nn
from prunebench import Dataset, Split

class Pause(nn.Module):
    def forward(self, images):
        if self.training:
            try:
                time.sleep(float(os.environ.get("PRUNEBENCH_TEST_BATCH", "0")))
            except BaseException:
                Path(__file__).with_name("interrupted").touch()
                raise
        return images

def net(classes):
    return nn.Sequential(
        Pause(),
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        nn.Dropout(0.2), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, classes))

def load():
    if Path(__file__).with_name("nothing").exists():
        raise ValueError("there is no data")
    draw = np.random.default_rng(0)
    labels = np.arange(60) % 3
    images = (draw.integers(0, 120, (60, 12, 12)) + 50 * labels[:, None, None]).astype(np.uint8)
    return Dataset(Split(images[:40], labels[:40]), Split(images[40:], labels[40:]), ["a", "b", "c"])

def slow(weight):
    time.sleep(float(os.environ.get("PRUNEBENCH_TEST_PAUSE", "0")))
    return weight.abs()

def broken(weight, task):
    if task is not None and Path(__file__).with_name("fail").exists():
        raise RuntimeError("the criterion is broken")
    return weight.abs()

def grasping(weight):
    fail = Path(__file__).with_name("fail")
    if fail.exists() and not fail.with_name("failed").exists():
        fail.with_name("failed").touch()  # one process alone
        for thing in gc.get_objects():
            if isinstance(thing, multiprocessing.synchronize.Event):
                thing._cond.acquire()
        os.kill(os.getpid(), signal.SIGKILL)
    return weight.abs()

def deadly(weight):
    if Path(__file__).with_name("fail").exists():
        os.kill(os.getpid(), signal.SIGKILL)
    return weight.abs()
"""

BASE = """
[base]
model = "{parts}:net"
dataset = "{parts}:load"
image_size = 12
epochs = {epochs}
batch_size = 8
iterations = 2
finetune_epochs = 2
fraction = 0.3
method = "unstructured"
device = "cpu"
data_dir = "{data}"
"""


@pytest.fixture
def small(tmp_path: Path) -> Callable[..., list[Experiment]]:
    """Makes the plan of a study in a folder of runs; `more` is TOML, `{parts}` in it the file of the parts."""
    parts = tmp_path / "parts.py"
    parts.write_text(PARTS, encoding="utf-8")

    def make(more: str, runs: str = "runs", epochs: int = 2) -> list[Experiment]:
        text = BASE.format(parts=parts, data=tmp_path, epochs=epochs) + more.replace("{parts}", str(parts))
        (tmp_path / "small.toml").write_text(text, encoding="utf-8")
        return experiments_of(read_study(tmp_path / "small.toml"), str(tmp_path / runs))

    return make


@pytest.fixture
def contents() -> Callable[[Path], dict[str, bytes]]:
    """Reads the checkpoints and text files of all runs of a folder: what is to be the same to the bit."""

    def read(folder: Path) -> dict[str, bytes]:
        kinds = (".safetensors", ".txt", "structure.json")
        return {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.name.endswith(kinds)
        }

    return read
