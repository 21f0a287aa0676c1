"""What README and the pages show works as it stands."""

from __future__ import annotations

import re
import shlex

import click
import pytest
from click.testing import CliRunner

from prunebench.cli.main import COMMANDS as NAMES
from prunebench.cli.main import cli
from prunebench.studies.file import read_study
from prunebench.studies.study import experiments_of
from shown import COMMANDS, PAGES, ROOT, blocks, named_files

READERS = (".py:", "own.pth", "hf:")
"""Files that are the reader's."""

PLANNED = [
    line for line in COMMANDS if line.startswith(("train", "prune")) and not any(name in line for name in READERS)
]
LONG = ("resnet50", "vgg16", "--threads 1", "--track")
"""In lines whose plans take long, or are those of other lines."""

OTHERS = {"--help", "--version", "--nproc-per-node", "--logdir", "--backend-store-uri"}
"""Options that are not those of a command, but of all, or of other programs."""


def command_of(name: str) -> click.Command:
    found = cli.get_command(click.Context(cli), name)
    assert found is not None
    return found


def example(mark: str) -> str:
    """The only example in Python with a text in it."""
    (found,) = (block for block in blocks("python") if mark in block)
    return found


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_have_the_options_that_are_shown(line):
    name, *arguments = shlex.split(line)
    with command_of(name).make_context(name, arguments) as context:
        assert context.args == []


def test_options_that_are_told_of_are_some_commands():
    parameters = [each for name in NAMES for each in command_of(name).params]
    known = OTHERS | {option for each in parameters for option in (*each.opts, *each.secondary_opts)}
    others = re.compile(r"^ +(python|pip|\.venv).*$", re.MULTILINE)
    for page, text in PAGES.items():
        told = re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", others.sub("", text))
        of_benchmarks = {"--minutes", "--parts"} if page == "docs/gpu.md" else set()
        assert set(told) - known - of_benchmarks == set(), page


@pytest.mark.parametrize(
    "line", [pytest.param(line, marks=pytest.mark.slow if any(map(line.count, LONG)) else ()) for line in PLANNED]
)
def test_commands_have_a_plan(line, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    places = ["--runs-dir", str(tmp_path / "runs"), "--results-dir", str(tmp_path / "results")]
    result = CliRunner().invoke(cli, [*shlex.split(line), "--dry-run", *places])
    assert result.exit_code == 0, result.output
    assert "disk" in result.output
    assert list(tmp_path.iterdir()) == []


def test_own_model_dataset_and_criterion(tmp_path, monkeypatch):
    files = named_files("python", "model", "data", "add-a-criterion")
    assert set(files) == {"net.py", "parts.py", "mine.py"}
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    line = next(line for line in COMMANDS if line.startswith("prune") and "net.py" in line)
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


def test_the_first_example_prints_a_line_per_step_and_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code = example("for record in prune(RunConfig(")
    small = code.replace("iterations=3", "iterations=1, epochs=1, finetune_epochs=1, limit_train=64, limit_test=32")
    assert small != code
    exec(compile(small, "README.md", "exec"), {})
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["0", "1"]
    assert list(tmp_path.iterdir()) == []


def test_the_example_with_a_run_keeps_it_and_times_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code = example("time_run(")
    small = code.replace("iterations=2", "iterations=1, epochs=1, finetune_epochs=1, limit_train=64, limit_test=32")
    small = small.replace("time_budget=5", "time_budget=0.1")
    small = small.replace('"resnet18"', '"torchvision:squeezenet1_1", image_size=32, method="unstructured"')
    assert small.count("limit_train") == small.count("=0.1") == small.count("squeezenet") == 1
    exec(compile(small, "python.md", "exec"), {})
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in lines[:2]] == ["0", "1"]
    assert {line[1] for line in lines[2:]} >= {"original", "pruned"}
    assert len(list((tmp_path / "runs").glob("*-unstructured-*"))) == 1


def test_a_model_of_transformers_is_pruned_and_read_by_transformers(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(compile(example("DistilBertConfig"), "model.md", "exec"), {})
    line = next(line for line in COMMANDS if "hf:tiny" in line)
    small = (
        "--epochs",
        "1",
        "--finetune-epochs",
        "1",
        "--limit-train",
        "64",
        "--limit-test",
        "32",
        "--sequence-length",
        "16",
    )
    result = CliRunner().invoke(cli, [*shlex.split(line), *small])
    assert result.exit_code == 0, result.output
    (run,) = (path.name for path in (tmp_path / "runs").glob("hf-tiny-structured-*"))
    line = next(line for line in COMMANDS if "--to hf" in line).replace("RUN", run)
    result = CliRunner().invoke(cli, shlex.split(line))
    assert "transformers reads it too, and answers alike" in result.output
    exec(compile(example("import pipeline"), "model.md", "exec"), {})
    assert re.search(r"'label': '(negative|positive)'", capsys.readouterr().out)


def test_the_study_that_is_shown_has_a_plan(tmp_path):
    (shown,) = (block for block in blocks("toml") if "[[exclude]]" in block)
    (tmp_path / "shown.toml").write_text(shown, encoding="utf-8")
    planned = experiments_of(read_study(tmp_path / "shown.toml"), str(tmp_path))
    settings = [experiment.settings for experiment in planned]
    assert {(config.model, config.fraction) for config in settings if config.criterion == "l1"} == {
        ("resnet18", 0.1),
        ("resnet18", 0.5),
        ("alexnet", 0.1),  # of the control
        ("alexnet", 0.5),
    }


def test_the_study_of_an_own_criterion_has_a_plan(tmp_path, monkeypatch):
    for name, text in named_files("(?:python|toml)", "add-a-criterion").items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    planned = experiments_of(read_study("mine.toml"), str(tmp_path))
    found = {(config.method, str(config.criterion)) for config in (experiment.settings for experiment in planned)}
    assert {method for method, _ in found} == {"unstructured", "none"}
    assert {name.rpartition("/")[2] for _, name in found} >= {"mine.py:score", "l1", "random"}


@pytest.mark.parametrize("page", PAGES)
def test_no_place_holder_is_left(page):
    assert not re.search(r"@@|TODO|FIXME", PAGES[page])


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("list")])
def test_lists_that_are_shown_print_something(line):
    result = CliRunner().invoke(cli, shlex.split(line))
    assert result.exit_code == 0, result.output
    assert len(result.output.splitlines()) > 2


def test_the_readme_is_read_in_three_minutes():
    text = PAGES["README.md"]
    assert len(text.splitlines()) <= 150
    assert len(text.split()) < 900
    assert text.count("![") == 1
