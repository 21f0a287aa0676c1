"""The command line as a whole: bad input exits with 2, a line or two, and nothing written."""

from __future__ import annotations

import re
import subprocess
import sys

import click
import pytest
import torch

from prunebench.cli import main
from prunebench.cli.commands import list as list_command


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def check_refused(finished, tmp_path, *words):
    """Assert status 2 with an error of one line, the last; the words in it or above; and nothing else written."""
    assert finished.status == 2, finished
    assert "Traceback" not in finished.err
    told = finished.err.splitlines()
    assert [index for index, line in enumerate(told) if line.startswith("Error: ")] == [len(told) - 1]
    assert not any(line.startswith(("Usage:", "Try ")) for line in told)
    assert finished.out == ""
    for word in words:
        assert word in finished.err
    assert len(finished.err) < 2_500
    assert "\x1b" not in finished.err
    left = [path for path in tmp_path.rglob("*") if path.is_file() and not {".locks", ".digests"} & set(path.parts)]
    assert left == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("prune", "--model", "resnet19"), ["'resnet19'", "Did you mean 'resnet18'", "vgg16"]),
        (("prune", "--model", "resnet18", "--dataset", "digit"), ["Did you mean 'digits'", "cifar10"]),
        (("prune", "--model", "resnet18", "--method", "struct"), ["structured", "unstructured"]),
        (("prune", "--model", "resnet18", "--criterion", "l3"), ["l1", "l2", "random"]),
        (("prune",), ["--model", "resnet18"]),
        (("prune", "--model", "net.py"), ["as well: net.py:FUNCTION"]),
        (("prune", "--model", "resnet18", "--dataset", "."), ["--dataset image-folder --data-dir .", "text-file"]),
        (("prune", "--model", "resnet18", "--sequence-length", "16"), ["--sequence-length is for texts, and digits"]),
        (("train", "--model", "resnet18", "--resize", "fit"), ["--resize is for image files, and digits holds images"]),
        (("train", "--model", "bert", "--image-size", "8"), ["--image-size is for images in memory and image files"]),
        (("prune", "--model", "resnet18", "--fraction", "0"), ["--fraction"]),
        (("prune", "--model", "resnet18", "--fraction", "1"), ["--fraction"]),
        (("prune", "--model", "resnet18", "--fraction", "1.5"), ["--fraction"]),
        (("prune", "--model", "resnet18", "--fraction", "nan"), ["--fraction"]),
        (("prune", "--model", "resnet18", "--fraction", "half"), ["--fraction"]),
        (("prune", "--model", "resnet18", "--iterations", "0"), ["--iterations"]),
        (("prune", "--model", "resnet18", "--schedule", "linear"), ["--schedule", "one-cycle"]),
        (("prune", "--model", "resnet18", "--dataset", "image-folder", "--data-dir", "no/such"), ["no/such"]),
        (("prune", "--model", "bert", "--dataset", "text-file", "--data-dir", "no/such"), ["no/such"]),
        (("prune", "--model", "bert", "--dataset", "digits"), ["bert reads text", "reviews"]),
        (("train", "--model", "vgg16", "--dataset", "reviews"), ["vgg16 reads images", "digits"]),
        (("train", "--model", "alexnet", "--image-size", "16", "--limit-train", "40"), ["alexnet", "16×16"]),
        (("train", "--model", "vgg16", "--model-arg", "stem=small"), ["--model-arg stem=small", "vgg16 has no such"]),
        (("train", "--model", "resnet18", "--model-arg", "stem=tiny"), ["resnet18", "stem", "tiny", "small"]),
        (("prune", "--model", "resnet18", "--model-arg", "stem"), ["--model-arg stem: expected NAME=VALUE"]),
        (("prune", "--model", "resnet18", "--model-arg", "classes=3"), ["has no such argument; it has: stem"]),
        (("prune", "--model", "bert", "--weights", "imagenet"), ["--weights imagenet"]),
        (("prune", "--model", "resnet18", "--weights", "gone.pth"), ["gone.pth"]),
        (("prune", "--model", "resnet18", "--weights", "gone"), ["gone", "neither"]),
        (("prune", "--model", "gone.py:build"), ["gone.py"]),
        (("prune", "--config", "gone.toml"), ["gone.toml"]),
        (("efficiency", "--model", "resnet18", "--batch-sizes", "1,x"), ["1,x"]),
        (("efficiency", "--model", "resnet18", "--batch-sizes", "0"), ["--batch-sizes"]),
        (("efficiency", "--model", "resnet18", "--time-budget", "-1"), ["--time-budget"]),
        (("efficiency", "--run", "gone"), ["gone"]),
        (("evaluate", "--run", "gone"), ["gone"]),
        (("efficiency", "--model", "resnet18", "--time-budget", "inf"), ["--time-budget", "finite"]),
        (("prune", "--model", "resnet18", "--threads", "5000"), ["--threads 5000: this machine has"]),
        (("train", "--model", "resnet18", "--workers", "5000"), ["--workers 5000: this machine has"]),
        (("efficiency", "--onnx", "a.onnx", "--threads", "5000"), ["--threads 5000: this machine has"]),
        (
            ("prune", "--model", "resnet18", "--iterations", "9" * 5000),
            ["--iterations", "characters …]"],
        ),
        (("prune", "--model", "x" * 20_000), ["There is no model", "characters …]"]),
        (("prune", "--model", "\x1b[31mnet"), [r"There is no model '\x1b[31mnet'"]),
        (("\x1b[31mprune",), [r"There is no command '\x1b[31mprune'"]),
        (("prune", "--config", "\udce9.toml"), ["\udce9.toml: there is no such file"]),
        (("prune", "--config", ""), ["'': there is no such file"]),
        (("train", "--model", "resnet18", "--lr", "inf"), ["--lr inf: expected a finite number"]),
        (("train", "--model", "resnet18", "--optimizer", "sdg"), ["'sdg'", "'sgd'", "'adam'", "'adamw'"]),
        (
            ("prun",),
            ["'prun'. Did you mean 'prune'? There are: train, prune, evaluate, "],
        ),
        (("zzz",), ["There is no command 'zzz'. There are: train, prune,"]),
        (("prune", "--modle", "resnet18"), ["'--modle'", "'--model'"]),
        (("prune", "more"), ["more"]),
    ],
)
def test_bad_input_is_refused(arguments, words, prunebench, tmp_path):
    check_refused(prunebench(*arguments), tmp_path, *words)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize("command", ["train", "prune", "efficiency"])
def test_a_device_that_is_not_there_is_refused(command, prunebench, tmp_path):
    check_refused(prunebench(command, "--model", "resnet18", "--device", "cuda"), tmp_path, "--device cuda", "cpu")


@pytest.mark.parametrize("dataset", ["cifar10", "fashion-mnist"])
def test_a_download_without_network_is_refused(dataset, prunebench, tmp_path, no_network):
    finished = prunebench("prune", "--model", "resnet18", "--dataset", dataset)
    check_refused(finished, tmp_path, "could not be downloaded", "--data-dir")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("modle = 'resnet18'", ["'modle'", "Did you mean 'model'"]),
        ("model = 'resnet18'\nfraction = '0.1'", ["--fraction"]),
        ("model = 'resnet18'\niterations = 2.5", ["--iterations"]),
        ("model = [", ["TOML"]),
    ],
)
def test_a_bad_file_is_refused_by_its_name(text, words, prunebench, tmp_path_factory, tmp_path):
    file = tmp_path_factory.mktemp("configs") / "mine.toml"
    file.write_text(text)
    check_refused(prunebench("prune", "--config", str(file)), tmp_path, "mine.toml", *words)


@pytest.mark.parametrize("workers", ["0", "1"])
def test_an_images_file_that_is_broken_is_refused(workers, prunebench, tmp_path_factory, tmp_path):
    folder = tmp_path_factory.mktemp("images")
    for name in ("train/cat", "train/dog", "test/cat"):
        (folder / name).mkdir(parents=True)
        (folder / name / "1.png").write_bytes(b"no image")
    arguments = ("--dataset", "image-folder", "--data-dir", str(folder), "--image-size", "32", "--workers", workers)
    check_refused(prunebench("train", "--model", "resnet18", *arguments), tmp_path, "1.png")


def test_what_is_wrong_with_data_is_told_instead_of_the_plan(prunebench, tmp_path_factory, tmp_path):
    folder = tmp_path_factory.mktemp("texts")
    for name in ("train.csv", "test.csv"):
        (folder / name).write_text("review,label\nfine,1\ndull,0\n")
    finished = prunebench("prune", "--model", "bert", "--dataset", "text-file", "--data-dir", str(folder))
    check_refused(finished, tmp_path, "train.csv:1: needs a column text")
    assert len(finished.err.splitlines()) == 1


def test_without_a_command_there_is_help(prunebench):
    finished = prunebench()
    assert finished.status == 2
    assert all(f"  {name} " in finished.err for name in main.COMMANDS)


def test_debug_shows_where_an_error_comes_from(prunebench):
    finished = prunebench("prune", "--model", "resnet19", "--debug")
    assert finished.status == 2
    assert "Traceback" in finished.err
    assert "UnknownName" in finished.err


def test_a_bug_shows_its_traceback_and_exits_with_1(prunebench, monkeypatch):
    @click.command()
    def broken():
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(list_command, "command", broken)
    finished = prunebench("list")
    assert finished.status == 1
    assert "ZeroDivisionError: a bug" in finished.err


def test_an_interruption_says_how_to_go_on(prunebench, monkeypatch):
    @click.command()
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(list_command, "command", interrupted)
    finished = prunebench("list")
    assert finished.status == 130
    assert "the same command goes on" in finished.err


def test_help_names_every_command_and_needs_no_torch():
    code = "import sys; from prunebench.cli.main import main\ntry: main()\nfinally: print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True)
    assert all(re.search(rf"^  {name} ", done.stdout, re.MULTILINE) for name in main.COMMANDS)
    assert done.stdout.splitlines()[-1] == "False"


@pytest.mark.parametrize("command", main.COMMANDS)
def test_every_command_has_help(command, prunebench):
    finished = prunebench(command, "--help")
    assert (finished.status, finished.err) == (0, "")
    assert f"prunebench {command}" in finished.out.splitlines()[0]


def test_the_version_is_told(prunebench):
    assert re.search(r"\d+\.\d+\.\d+", prunebench("--version").out)


def test_a_file_of_the_current_folder_hides_no_package_from_the_module_that_is_run(tmp_path):
    for name in ("numpy", "click", "profile"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('hidden')\n")
    ended = subprocess.run(
        [sys.executable, "-m", "prunebench", "list"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "resnet18" in ended.stdout
