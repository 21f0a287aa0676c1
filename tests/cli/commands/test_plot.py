"""`plot` writes a PNG and an SVG of every figure, and says what it lacks."""

from __future__ import annotations

import json
import re

import pytest
from PIL import Image

from prunebench.cli.commands.plot import command
from prunebench.plots.registry import plots
from prunebench.plots.themes import THEMES

PERFORMANCE = "100 50 25\n.9 .4 .2\n.9 .4 .2\n.9 .8 .7\n.9 .8 .7\n"


@pytest.fixture
def performance(tmp_path):
    """A folder with matrices of an older program."""
    folder = tmp_path / "performance"
    folder.mkdir()
    for name in ("Net_unstructured_l1", "Net_unstructured_random", "Other_unstructured"):
        (folder / f"{name}_performance.txt").write_text(PERFORMANCE)
    (folder / "Net_structured_50.00_efficiency.txt").write_text("1 4\n2 6\n2 6\n1 2\n")
    return folder


def test_every_figure_that_matrices_allow_is_written_and_told(prunebench, performance, tmp_path):
    finished = prunebench("plot", str(performance), "-o", str(tmp_path / "plots"))
    assert finished.status == 0, finished.err
    names = [
        *("accuracy-net-unstructured", "accuracy-other-unstructured", "criteria-net-unstructured-50pc"),
        *("latency-by-batch-net-structured", "models-unstructured-l1"),
    ]
    assert finished.out.splitlines() == [f"written {tmp_path / 'plots' / name}.png and .svg" for name in names]
    files = {path.name for path in (tmp_path / "plots").iterdir()}
    assert files == {f"{name}.{kind}" for name in names for kind in ("png", "svg")}
    with Image.open(tmp_path / "plots" / f"{names[0]}.png") as image:
        assert image.width == 960


def test_the_default_is_the_folder_performance(prunebench, performance, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    finished = prunebench("plot", "--figure", "models", "--json")
    assert [json.loads(line) for line in finished.out.splitlines()] == [
        {"figure": "models", "png": "plots/models-unstructured-l1.png", "svg": "plots/models-unstructured-l1.svg"}
    ]
    assert (tmp_path / "plots" / "models-unstructured-l1.png").is_file()


def test_pictures_for_dark_paper_are_beside_the_others_or_alone(prunebench, performance, tmp_path):
    for theme, endings in (("both", ("", "-dark")), ("dark", ("-dark",)), ("light", ("",))):
        folder = tmp_path / theme
        finished = prunebench("plot", str(performance), "--figure", "models", "--theme", theme, "-o", str(folder))
        assert finished.status == 0, finished.err
        names = [f"models-unstructured-l1{ending}" for ending in endings]
        assert finished.out.splitlines() == [f"written {folder / name}.png and .svg" for name in names]
    for name, paper in (("models-unstructured-l1", "light"), ("models-unstructured-l1-dark", "dark")):
        assert f"fill: {THEMES[paper].paper}" in (tmp_path / "both" / f"{name}.svg").read_text(encoding="utf-8")


def test_a_run_is_drawn_over_what_is_left_of_macs_and_with_its_layers(prunebench, digits_run, tmp_path):
    (run,) = (digits_run.folder / "runs").glob("resnet18-structured-*")
    finished = prunebench(
        "plot", str(run), "--axis", "macs", "--figure", "accuracy", "--figure", "layers", "-o", str(tmp_path)
    )
    assert finished.status == 0, finished.err
    assert re.findall(r"/([\w-]+)\.png", finished.out) == [
        "accuracy-resnet18-digits-structured-by-macs",
        "layers-resnet18-digits-structured",
    ]


def test_another_metric_of_a_run_is_drawn_under_a_name_of_its_own(prunebench, digits_run, tmp_path):
    (run,) = (digits_run.folder / "runs").glob("resnet18-structured-*")
    finished = prunebench("plot", str(run), "--metric", "loss", "-o", str(tmp_path))
    assert finished.status == 0, finished.err
    names = re.findall(r"/([\w-]+)\.png", finished.out)
    assert names[0] == "accuracy-resnet18-digits-structured-loss"
    assert all(name.endswith("-loss") for name in names)  # of figures without scores, such as layers, none is drawn
    assert "cross-entropy" in (tmp_path / "accuracy-resnet18-digits-structured-loss.svg").read_text(encoding="utf-8")
    refused = prunebench("plot", str(run), "--metric", "top5", "-o", str(tmp_path / "plots"))
    assert (refused.status, refused.out) == (2, "")
    assert "has not recorded top5; it has: top1, loss." in refused.err
    assert not (tmp_path / "plots").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--figure", "pareto"), "The figure 'pareto' cannot be drawn: it needs a curve whose steps were timed"),
        (("--figure", "paretto"), "There is no figure 'paretto'. Did you mean 'pareto'?"),
        (("--axis", "macs"), "no curve has 'macs'; there are: left"),
        (("nothing",), "nothing: there is no such file or folder."),
    ],
)
def test_what_cannot_be_drawn_is_told_in_a_line_and_writes_nothing(arguments, said, prunebench, performance, tmp_path):
    finished = prunebench("plot", str(performance), *arguments, "-o", str(tmp_path / "plots"))
    assert finished.status == 2
    assert said in finished.err
    assert "Traceback" not in finished.err
    assert not (tmp_path / "plots").exists()


def test_a_folder_that_cannot_be_written_to_is_told(prunebench, performance, tmp_path):
    (tmp_path / "file").touch()
    finished = prunebench("plot", str(performance), "-o", str(tmp_path / "file"))
    assert finished.status == 2
    assert "is no folder" in finished.err


def test_help_names_every_figure():
    from click.testing import CliRunner

    shown = CliRunner().invoke(command, ["--help"]).output
    assert all(name in shown for name in plots.names())
