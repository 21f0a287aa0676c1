"""What the README shows works as it stands."""

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from prunebench.cli.main import cli
from prunebench.studies.study import experiments_of, read_study

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    prunebench (.+)$", README, re.MULTILINE)
READERS = ("net.py", "own.pth", "hf:")
"""Files that are the reader's."""
PLANNED = [
    line for line in COMMANDS if line.startswith(("train", "prune")) and not any(name in line for name in READERS)
]


def files() -> dict[str, str]:
    """The examples that begin with their file's name."""
    blocks = re.findall(r"```python\n# (\w+\.py)\n(.*?)```", README, re.DOTALL)
    return dict(blocks)


LARGE = ("resnet50", "vgg16")
"""Models whose plans take long."""


@pytest.mark.parametrize(
    "line", [pytest.param(line, marks=pytest.mark.slow if any(map(line.count, LARGE)) else ()) for line in PLANNED]
)
def test_commands_have_a_plan(line, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    places = ["--runs-dir", str(tmp_path / "runs"), "--results-dir", str(tmp_path / "results")]
    result = CliRunner().invoke(cli, [*shlex.split(line), "--dry-run", *places])
    assert result.exit_code == 0, result.output
    assert "disk" in result.output
    assert list(tmp_path.iterdir()) == []


def test_own_model_dataset_and_criterion(tmp_path, monkeypatch):
    assert set(files()) == {"net.py", "parts.py", "mine.py"}
    for name, text in files().items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    line = next(line for line in COMMANDS if "net.py" in line)
    result = CliRunner().invoke(
        cli, [*shlex.split(line), "--iterations", "2", "--finetune-epochs", "1", "--epochs", "4"]
    )
    assert result.exit_code == 0, result.output
    assert "channels" in result.output
    assert (tmp_path / "performance" / "net-build_structured_mine-score_performance.txt").exists()
    for method, name in (("unstructured", "saliency"), ("structured", "units")):
        more = [
            "--method",
            method,
            "--criterion",
            f"mine.py:{name}",
            "--iterations",
            "1",
            "--finetune-epochs",
            "1",
            "--epochs",
            "1",
        ]
        assert CliRunner().invoke(cli, [*shlex.split(line), *more]).exit_code == 0


def test_the_sensitivity_that_is_shown_is_drawn(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = next(line for line in COMMANDS if line.startswith("sensitivity") and "-o" in line)
    small = ["--epochs", "1", "--limit-train", "120", "--limit-test", "50", "--samples", "16", "--shares", "0.5"]
    result = CliRunner().invoke(cli, [*shlex.split(line), *small, "--include", "layer1.*"])
    assert result.exit_code == 0, result.output
    assert "layer1.1.conv1  channels" in result.output
    assert "held out of the training data" in result.output
    assert (tmp_path / "sensitivity.png").read_bytes().startswith(b"\x89PNG")


def test_the_blocks_that_are_shown_are_proved():
    line = next(line for line in COMMANDS if line.startswith("inspect") and "depth" in line)
    result = CliRunner().invoke(cli, shlex.split(line))
    assert result.exit_code == 0, result.output
    assert "removal proved exact on this model: 5 blocks" in result.output


def test_python_example_prints_a_line_per_step(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code = next(block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "for record" in block)
    small = code.replace("iterations=3", "iterations=1, epochs=1, limit_train=200, limit_test=100")
    assert small != code
    exec(compile(small, "README.md", "exec"), {})
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["0", "1"]
    assert list(tmp_path.iterdir()) == []


def test_a_model_of_transformers_is_pruned_and_read_by_transformers(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make, use = (
        block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "from transformers" in block
    )
    exec(compile(make, "README.md", "exec"), {})
    line = next(line for line in COMMANDS if "hf:tiny" in line)
    small = ("--epochs", "1", "--limit-train", "64", "--limit-test", "32", "--sequence-length", "16")
    result = CliRunner().invoke(cli, [*shlex.split(line), *small])
    assert result.exit_code == 0, result.output
    (run,) = (path.name for path in (tmp_path / "runs").glob("hf-tiny-structured-*"))
    line = next(line for line in COMMANDS if "--to hf" in line).replace("RUN", run)
    result = CliRunner().invoke(cli, shlex.split(line))
    assert "transformers reads it too, and answers alike" in result.output
    exec(compile(use, "README.md", "exec"), {})
    assert re.search(r"'label': '(negative|positive)'", capsys.readouterr().out)


def test_the_study_that_is_shown_has_a_plan(tmp_path):
    (tmp_path / "shown.toml").write_text(re.findall(r"```toml\n(.*?)```", README, re.DOTALL)[0], encoding="utf-8")
    planned = experiments_of(read_study(tmp_path / "shown.toml"), str(tmp_path))
    settings = [experiment.settings for experiment in planned]
    assert {(config.model, config.fraction) for config in settings if config.criterion == "l1"} == {
        ("resnet18", 0.1),
        ("resnet18", 0.5),
        ("alexnet", 0.1),  # of the control
        ("alexnet", 0.5),
    }


def test_no_place_holder_is_left():
    assert "@@" not in README


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("list")])
def test_lists_that_are_shown_print_something(line):
    result = CliRunner().invoke(cli, shlex.split(line))
    assert result.exit_code == 0, result.output
    assert len(result.output.splitlines()) > 2
