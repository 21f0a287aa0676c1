"""`efficiency` times the newest run that fits, or the untrained architecture, and writes a matrix per step."""

from __future__ import annotations

import importlib.util
import shutil

import msgspec
import numpy as np
import pytest

from prunebench import RunConfig, pruning_run
from prunebench.records import Environment, TimingRecord

HERE = Environment(seed=0, device="cpu", hardware="", threads=1, platform="", python="", versions={})
SHORT = ("--batch-sizes", "1,3", "--time-budget", "0.1")


@pytest.fixture
def results(tmp_path):
    """A folder of its own for the matrices."""
    return ("--results-dir", str(tmp_path / "results"))


def test_a_run_is_timed_and_a_matrix_per_step_is_written(digits_run, prunebench, results, tmp_path):
    finished = prunebench("efficiency", "--model", "resnet18", *SHORT, *digits_run.places[:2], *results)
    assert finished.status == 0, finished.err
    assert "timing run resnet18-structured-" in finished.err
    title, times, costs, evidence = finished.out.strip().split("\n\n")
    assert title == "eager, fp32, 32×32 images"
    assert [line.split()[0] for line in times.splitlines()[1:5]] == ["1", "1", "2", "2"]
    assert [line.split()[0] for line in costs.splitlines()[1:4]] == ["0", "1", "2"]
    assert "rounded to 8" in evidence
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == [
        "resnet18_structured_81.00_efficiency.txt",
        "resnet18_structured_90.00_efficiency.txt",
        "resnet18_structured_efficiency.json",
    ]
    for path in (tmp_path / "results").glob("*.txt"):
        matrix = np.loadtxt(path)
        assert matrix.shape == (4, 2)
        assert matrix[0].tolist() == [1, 3]
        assert (matrix[1:] > 0).all()
        (kept,) = (digits_run.folder / "runs").glob(f"resnet18-structured-*/{path.name}")
        assert kept.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("method", ["structured", "unstructured"])
def test_without_a_run_the_untrained_architecture_is_timed(method, net, prunebench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = (*net, "--method", method, "--iterations", "2", "--finetune-epochs", "1", "--fraction", "0.5", "--json")
    finished = prunebench("efficiency", *options, *SHORT)
    assert finished.status == 0, finished.err
    assert f"timing the untrained {net[1]}" in finished.err
    timings = [msgspec.json.decode(line, type=TimingRecord) for line in finished.out.splitlines()]
    records = [record for timing in timings for record in timing.latencies]
    assert {(r.step, r.batch_size, r.variant) for r in records} >= {
        (step, size, variant) for step in (1, 2) for size in (1, 3) for variant in ("original", "masked", "pruned")
    }
    assert {r.run for r in records} == {None}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.py", "performance", "runs"]
    (path,) = (tmp_path / "performance").glob(f"net-build_{method}_25.00_efficiency.txt")
    assert "untrained weights" in path.read_text()


def test_a_run_is_named(digits_run, prunebench, results):
    (run,) = (path.name for path in (digits_run.folder / "runs").glob("resnet18-structured-*"))
    finished = prunebench("efficiency", "--run", run, *SHORT, "--quiet", *digits_run.places[:2], *results)
    assert (finished.status, finished.out, finished.err) == (0, "", "")


def test_a_dense_run_cannot_be_timed(digits_run, prunebench, results, tmp_path):
    (run,) = (path.name for path in (digits_run.folder / "runs").glob("resnet18-dense-*"))
    finished = prunebench("efficiency", "--run", run, *digits_run.places[:2], *results)
    assert finished.status == 2
    assert "name a prune run" in finished.err
    assert not (tmp_path / "results").exists()


def test_a_run_without_a_pruned_step_is_passed_over(net, prunebench, tmp_path, monkeypatch, make_record):
    monkeypatch.chdir(tmp_path)
    run = pruning_run(RunConfig(model=net[1], image_size=12, limit_train=60))
    with run.working(HERE):
        run.commit(make_record(), lambda folder: None)
    options = ("--limit-train", "60", "--iterations", "1", "--finetune-epochs", "1", *SHORT)
    finished = prunebench("efficiency", *net, *options)
    assert finished.status == 0, finished.err
    assert f"timing the untrained {net[1]}" in finished.err
    finished = prunebench("efficiency", "--run", run.key, *SHORT)
    assert finished.status == 2
    assert f"Run {run.key} has no pruned step yet" in finished.err.splitlines()[-1]


def test_options_that_contradict_a_named_run_are_refused(digits_run, prunebench, results, tmp_path):
    (run,) = (path.name for path in (digits_run.folder / "runs").glob("resnet18-structured-*"))
    options = ("--run", run, *SHORT, *digits_run.places[:2], *results)
    finished = prunebench("efficiency", "--fraction", "0.2", *options)
    assert finished.status == 2
    assert finished.err == f"Error: Run {run} was made with --fraction 0.1; leave the option out.\n"
    assert not (tmp_path / "results").exists()


def test_what_is_timed_already_is_answered_from_its_records(digits_run, prunebench, results):
    options = ("--model", "resnet18", "--batch-sizes", "1,2", "--time-budget", "0.1", *digits_run.places[:2], *results)
    first = prunebench("efficiency", *options)
    again = prunebench("efficiency", *options)
    assert (again.status, again.out) == (0, first.out)
    assert "2 step(s) were timed before" in again.err
    assert "threads" not in again.err
    anew = prunebench("efficiency", *options, "--fresh")
    assert anew.out != first.out
    assert "starting over; what there was is kept in" in anew.err


@pytest.mark.slow
def test_timing_goes_on_with_the_steps_that_are_missing(digits_run, prunebench, results, tmp_path):
    options = ("--batch-sizes", "2", "--time-budget", "0.1", "--runs-dir", str(tmp_path / "runs"), *results)
    shutil.copytree(digits_run.folder / "runs", tmp_path / "runs")
    first = prunebench("efficiency", "--model", "resnet18", *options)
    assert (
        prunebench("prune", *digits_run.options, "--iterations", "3", "--finetune-epochs", "1", *options[4:]).status
        == 0
    )
    longer = prunebench("efficiency", "--model", "resnet18", *options)
    rows = [finished.out.strip().split("\n\n")[1].splitlines()[1:] for finished in (first, longer)]
    assert [line.split()[:2] for line in rows[1][:2]] == [["1", "90.0"], ["2", "81.0"]]
    assert rows[1][0].split() == rows[0][0].split()
    assert [line.split()[0] for line in rows[1][:3]] == ["1", "2", "3"]
    assert "2 step(s) were timed before" in longer.err


def test_several_engines_have_a_file_each_and_one_that_is_missing_stops_no_other(
    prunebench, tmp_path, monkeypatch, digits_run, results
):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "onnx" else real(name, *rest))
    backends = ("--backend", "eager", "--backend", "onnxruntime", "--backend", "channels-last")
    places = (*digits_run.places[:2], *results)
    options = ("--model", "resnet18", "--steps", "0,2", "--batch-sizes", "1", "--time-budget", "0.1", *places)
    finished = prunebench("efficiency", *options, *backends)
    assert finished.status == 0, finished.err
    (warning,) = (line for line in finished.err.splitlines() if line.startswith("Warning"))
    assert warning.endswith("needs: install it with: pip install 'prunebench[onnx]'")
    assert sorted(path.name for path in (tmp_path / "results").glob("*.json")) == [
        "resnet18_structured_channels-last_efficiency.json",
        "resnet18_structured_efficiency.json",
    ]
    assert (tmp_path / "results" / "resnet18_structured_100.00_efficiency.txt").exists()
    alone = prunebench("efficiency", *options, "--backend", "onnxruntime")
    assert alone.status == 2
    assert alone.err.splitlines()[-1].startswith("Error: onnx is not installed")


def test_bf16_shows_accuracy_and_another_image_size_is_timed(prunebench, digits_run, results):
    places = (*digits_run.places[:2], *results)
    options = ("--model", "resnet18", "--steps", "2", "--batch-sizes", "2", "--time-budget", "0.1", *places)
    finished = prunebench("efficiency", *options, "--dtype", "bf16", "--image-size", "40")
    assert finished.status == 0, finished.err
    assert "eager, bf16, 40×40 images" in finished.out
    assert "top-1" in finished.out.split("\n\n")[1].splitlines()[0]
    assert "timing run resnet18-structured-" in finished.err


def test_untrained_weights_are_timed_where_it_is_asked_for(prunebench, digits_run, results):
    options = (
        "--model",
        "resnet18",
        "--architecture-only",
        "--iterations",
        "1",
        "--finetune-epochs",
        "1",
        *SHORT,
        *digits_run.places[:2],
    )
    finished = prunebench("efficiency", *options, *results)
    assert finished.status == 0, finished.err
    assert "as asked: timing the untrained resnet18" in finished.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--backend", "opnvino"), "Did you mean 'openvino'?"),
        (("--dtype", "fp8"), "--dtype fp8"),
        (("--steps", "11"), "The schedule has no step 11 that can be timed"),
        (("--steps", "a,b"), "is not a list of whole numbers"),
        (("--onnx",), "name the files to time"),
        (("--onnx", "none.onnx"), "none.onnx: there is no such file."),
        (("some.onnx",), "files are timed with --onnx"),
        (("--onnx", "none.onnx", "--steps", "1"), "--steps says nothing about ONNX files"),
    ],
)
def test_what_cannot_be_timed_is_told_and_nothing_is_written(options, message, prunebench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = () if any("onnx" in word for word in options) else ("--model", "resnet18")
    finished = prunebench("efficiency", *model, *options)
    assert finished.status == 2
    assert message in finished.err
    assert list(tmp_path.glob("**/*.txt")) == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--int8-samples", "9"), "--int8-samples belongs to --dtype int8."),
        (
            ("--dtype", "int8"),
            "--backend eager computes in fp32, tf32, bf16, fp16 only, not in int8. What does: onnxruntime.",
        ),
    ],
)
def test_int8_where_there_is_none_is_refused_in_a_line(options, told, net, prunebench, results):
    finished = prunebench("efficiency", *net, *SHORT, *options, *results)
    assert finished.status == 2
    assert finished.err.splitlines()[-1].endswith(told)
