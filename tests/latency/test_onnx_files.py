"""Exported files are timed in alternation, by a process that imports no torch."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np
import onnx
import pytest

from prunebench import EfficiencyConfig
from prunebench.errors import ConfigError, ModelError, Stopped
from prunebench.latency import rehearsal
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


def test_a_file_whose_name_is_not_utf_8_is_refused(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.onnx")
    path.write_bytes(b"")
    with pytest.raises(ConfigError, match="names in UTF-8 only"):
        time_files([path], config(), threads=1)


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
        ("string.onnx", {}, ModelError, "its input x is a tensor"),
        ("none.onnx", {}, ConfigError, "there is no such file"),
        ("broken.onnx", {}, ModelError, "cannot be read as an ONNX file"),
        ("images.onnx", {"backend": "eager"}, ConfigError, "run on onnxruntime or openvino"),
        ("images.onnx", {"dtype": "bf16"}, ConfigError, "leave --dtype and --image-size out"),
    ],
)
def test_what_cannot_be_timed_is_a_line(name, about, error, message, files):
    (files / "broken.onnx").write_bytes(b"no model")
    write_onnx(files / "string.onnx", onnx.helper.make_node("Identity", ["x"], ["y"]), kind=onnx.TensorProto.STRING)
    with pytest.raises(error, match=message) as found:
        time_files([files / name], config(**about), threads=1)
    assert "\n" not in str(found.value)


def write_onnx(path, *nodes, shape=("n", 3), kind=onnx.TensorProto.FLOAT, **constants):
    """A file of an input x and an output y."""
    value = onnx.helper.make_tensor_value_info
    inside = [onnx.numpy_helper.from_array(np.array(constant), name) for name, constant in constants.items()]
    graph = onnx.helper.make_graph(nodes, "g", [value("x", kind, shape)], [value("y", kind, None)], inside)
    version = {"opset_imports": [onnx.helper.make_opsetid("", 17)], "ir_version": 8}
    onnx.save(onnx.helper.make_model(graph, **version), path)
    return path


def loop():
    """An ONNX node that adds to `begin` for as often as `times` says."""
    value, nothing = onnx.helper.make_tensor_value_info, onnx.TensorProto
    parts = [("i", nothing.INT64, []), ("on", nothing.BOOL, []), ("sum", nothing.FLOAT, None)]
    ends = [("on2", nothing.BOOL, []), ("sum2", nothing.FLOAT, None)]
    nodes = [
        onnx.helper.make_node("Identity", ["on"], ["on2"]),
        onnx.helper.make_node("Add", ["sum", "sum"], ["sum2"]),
    ]
    body = onnx.helper.make_graph(nodes, "body", [value(*part) for part in parts], [value(*end) for end in ends])
    return onnx.helper.make_node("Loop", ["times", "yes", "begin"], ["ended"], body=body)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("begin", ["x", "constant"])
def test_an_endless_loop_ends_within_the_budget(backend, begin, tmp_path, monkeypatch):
    """OpenVINO does not come to an end of opening a loop over what is constant."""
    monkeypatch.setattr(rehearsal, "LEAST", 2.0)
    constants = {"times": 2**62, "yes": True, "constant": np.zeros(3, np.float32)}
    nodes = [
        onnx.helper.make_node("Identity", [begin], ["begin"]),
        loop(),
        onnx.helper.make_node("Add", ["ended", "x"], ["y"]),
    ]
    path = write_onnx(tmp_path / "loop.onnx", *nodes, **constants)
    started = time.monotonic()
    with pytest.raises(ModelError, match=r"loop\.onnx .* within 2 s; give more with --time-budget\.$"):
        time_files([path], config(backend=backend), threads=1)
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize(
    ("shape", "nodes", "constants"),
    [
        (("n", 3, 900_000, 900_000), [("Relu", ["x"], ["y"])], {}),
        (("n", 2**40, 2**40), [("Relu", ["x"], ["y"])], {}),
        (("n", 3), [("Expand", ["x", "to"], ["z"]), ("Add", ["z", "z"], ["y"])], {"to": [10**7, 10**6, 3]}),
    ],
)
def test_shapes_larger_than_the_memory_are_told(backend, shape, nodes, constants, tmp_path):
    made = [onnx.helper.make_node(*node) for node in nodes]
    path = write_onnx(tmp_path / "large.onnx", *made, shape=shape, **constants)
    with pytest.raises(ModelError, match=r"large\.onnx .*: there is not enough memory\.$"):
        time_files([path], config(backend=backend), threads=1)


def test_a_runtime_that_crashes_takes_nobody_with_it(files, monkeypatch):
    monkeypatch.setattr(rehearsal, "CHILD", "import os; os.abort()")
    with pytest.raises(ModelError, match="its runtime crashed, or there was not enough memory"):
        time_files([files / "images.onnx"], config(), threads=1)


def test_one_who_asks_to_stop_is_heard_while_files_are_opened(files, monkeypatch):
    monkeypatch.setattr(rehearsal, "CHILD", "import time; time.sleep(60)")
    asked = iter([False, False, True])
    started = time.monotonic()
    with pytest.raises(Stopped):
        time_files([files / "images.onnx"], config(), threads=1, stop=lambda: next(asked))
    assert time.monotonic() - started < 10
