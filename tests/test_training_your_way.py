"""What the page on own losses, weights, augmentation and several labels shows works as it stands."""

import re
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from prunebench import RunConfig
from prunebench.cli.main import cli
from prunebench.experiment.data import make_task
from prunebench.experiment.resolve import resolve

PAGE = (Path(__file__).parent.parent / "docs" / "training-your-way.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE, re.DOTALL))
COMMANDS = re.findall(r"^    prunebench (.+)$", PAGE, re.MULTILINE)

NET = """
from torch import nn

def build(classes):
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, classes))
"""

TOLD = {
    "focal.py": "trained, and reported as own loss, is focal.py:focal",
    "weighted.py": "trained, and reported as own loss, is <cross_entropy(weight=<Tensor>)>",
    "augmented.py": "training images are augmented by augmented.py:augment",
    "several.py": "of 3 classes",
    "rare.py": "trained, and reported as own loss, is <BCEWithLogitsLoss>",
}

COUNTED = {
    "several.py": "ranking precision (lrap)",
    "focal.py": "own loss (own_loss)",
    "rare.py": "(own_loss)",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the files are; one for all, since Python imports a module once."""
    found = tmp_path_factory.mktemp("page")
    for name, text in {**FILES, "net.py": NET}.items():
        (found / name).write_text(text, encoding="utf-8")
    return found


@pytest.fixture(autouse=True)
def _here(folder, monkeypatch):
    monkeypatch.chdir(folder)


def test_every_example_is_run():
    assert set(FILES) == {*TOLD, "pictures.py", "sentences.py"}
    named = {name for line in COMMANDS for name in re.findall(r"(\w+\.py):data", line)}
    assert named <= set(TOLD)


@pytest.mark.parametrize("name", sorted(TOLD))
def test_the_example_trains_a_model_and_prunes_it(name):
    small = ["--dataset", f"{name}:data", "--limit-train", "40", "--limit-test", "20", "--epochs", "1"]
    command = ["prune", "--model", "net.py:build", "--image-size", "8", *small, "--iterations", "1"]
    result = CliRunner().invoke(cli, [*command, "--criterion", "taylor"])
    assert result.exit_code == 0, result.output
    assert TOLD[name] in result.output
    assert "alike" not in result.output
    assert COUNTED.get(name, "") in result.output


def test_the_example_of_sentences_changes_what_is_trained_on():
    task = make_task(resolve(RunConfig(model="bert", dataset="sentences.py:data")))
    assert "training texts are augmented by sentences.py:drop_tokens" in task.notes
    torch.manual_seed(0)
    batch, _ = next(task.batches("train", [torch.arange(32)], torch.device("cpu"), training=True))
    plain, _ = next(task.batches("train", [torch.arange(32)], torch.device("cpu")))
    assert 0 < batch["attention_mask"].sum() < plain["attention_mask"].sum()
    assert batch["attention_mask"][:, 0].all()
