"""Exported files are timed in alternation, by a process that imports no torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

from prunebench import EfficiencyConfig
from prunebench.errors import ConfigError, ModelError
from prunebench.latency.onnx_files import time_files
from prunebench.models.export import export


@pytest.fixture(scope="module")
def files(tmp_path_factory, fresh, tiny_state):
    """An image model and a small BERT as ONNX files."""
    folder = tmp_path_factory.mktemp("onnx")
    for name, state in (("images", tiny_state()), ("text", fresh("bert"))):
        export(state, "onnx", folder / f"{name}.onnx")
    return folder


def config(**about):
    return EfficiencyConfig(**{"backend": "onnxruntime", "batch_sizes": (1, 3), "time_budget": 0.3, **about})


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize(("name", "inputs"), [("images", "images [3, 12, 12]"), ("text", "input_ids [9]")])
def test_files_are_timed_as_often_as_each_other(backend, name, inputs, files):
    path = files / f"{name}.onnx"
    records = time_files([path, path], config(backend=backend, sequence_length=9), threads=1)
    assert [(r.batch_size, r.step, r.variant) for r in records] == [
        (size, step, variant) for size in (1, 3) for step, variant in ((0, "original"), (1, "pruned"))
    ]
    for first, second in (records[:2], records[2:]):
        assert len(first.samples_ms) == len(second.samples_ms) > 0
    assert {(r.model, r.backend, r.threads) for r in records} == {(path.name, backend, 1)}
    assert inputs in records[0].inputs


def test_no_torch_is_imported(files):
    code = (
        "import sys; from prunebench.cli.main import main\n"
        f"sys.argv = ['prunebench', 'efficiency', '--onnx', '{files / 'images.onnx'}', '{files / 'images.onnx'}',"
        f" '--batch-sizes', '1', '--time-budget', '0.1', '--results-dir', '{files / 'results'}']\n"
        "try: main()\n"
        "finally: print(sorted({'torch', 'torchvision', 'transformers', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "images.onnx" in done.stdout
    assert (files / "results" / "images_onnx_efficiency.json").exists()


@pytest.mark.parametrize(
    ("name", "about", "error", "message"),
    [
        ("none.onnx", {}, ConfigError, "there is no such file"),
        ("broken.onnx", {}, ModelError, "cannot be read as an ONNX file"),
        ("images.onnx", {"backend": "eager"}, ConfigError, "run on onnxruntime or openvino"),
        ("images.onnx", {"dtype": "bf16"}, ConfigError, "leave --dtype and --image-size out"),
    ],
)
def test_what_cannot_be_timed_is_a_line(name, about, error, message, files):
    (files / "broken.onnx").write_bytes(b"no model")
    with pytest.raises(error, match=message) as found:
        time_files([files / name], config(**about), threads=1)
    assert "\n" not in str(found.value)
