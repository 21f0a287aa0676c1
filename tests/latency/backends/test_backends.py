"""What holds for every registered backend: it answers as eager PyTorch does, at every batch size, for every variant."""

from __future__ import annotations

import copy
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from prunebench import EfficiencyConfig
from prunebench.latency.backends import backends
from prunebench.latency.prepare import Conditions, load, ready
from prunebench.latency.variants import mask_like
from prunebench.models.architecture import models
from prunebench.models.export import export
from prunebench.pruning.methods import structured

CPU = torch.device("cpu")
NEEDS_COMPILER = pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="no C++ compiler")
BACKENDS = [pytest.param(name, marks=[NEEDS_COMPILER] if name == "compile" else []) for name in backends.names()]


def conditions(name, dtype="fp32"):
    """A backend on the CPU."""
    efficiency = EfficiencyConfig(backend=name, dtype=dtype)
    return Conditions(backend=backends.get(name), device=CPU, efficiency=efficiency, about={})


@pytest.mark.parametrize("name", BACKENDS)
def test_an_engine_answers_as_eager_pytorch_at_every_batch_size(name, tiny_state, request_for):
    state = tiny_state()
    structured.prune(state.model, {}, request_for(state.architecture.inputs, 0.3))
    weights = copy.deepcopy(state.model.state_dict())
    with torch.inference_mode():
        loaded = load(state, conditions(name))
        for size in (1, 3, 2):
            found = ready(state, loaded, state.architecture.inputs.example(size), conditions(name))
            assert found.difference < 1e-5
            found.call()
    assert all(torch.equal(tensor, weights[key]) for key, tensor in state.model.state_dict().items())


@pytest.mark.parametrize("name", BACKENDS)
def test_an_engine_runs_masked_models(name, tiny_state, request_for):
    state, pruned = tiny_state(), tiny_state()
    structured.prune(pruned.model, {}, request_for(pruned.architecture.inputs, 0.3))
    masked = replace(state, model=mask_like(copy.deepcopy(state.model), pruned))
    with torch.inference_mode():
        found = ready(masked, load(masked, conditions(name)), state.architecture.inputs.example(2), conditions(name))
    assert found.difference < 1e-5


@pytest.mark.parametrize("name", BACKENDS)
def test_an_engine_runs_bert(name, fresh):
    state = fresh("bert")
    with torch.inference_mode():
        found = ready(state, load(state, conditions(name)), state.architecture.inputs.example(2), conditions(name))
    assert found.difference < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("name", models.names())
def test_exported_engines_answer_alike_for_every_pruned_model(name, backend, fresh, request_for):
    state = fresh(name)
    structured.prune(state.model, {}, request_for(state.architecture.inputs, 0.3))
    with torch.inference_mode():
        found = ready(
            state, load(state, conditions(backend)), state.architecture.inputs.example(2), conditions(backend)
        )
    assert found.difference < 1e-4


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        pytest.param(*name.values, dtype, marks=name.marks)
        for name in BACKENDS
        for dtype in ("bf16", "fp16")
        if dtype in backends.get(name.values[0]).dtypes
    ],
)
def test_16_bits_are_near_and_not_the_same(name, dtype, fresh):
    state = fresh("bert")
    with torch.inference_mode():
        loaded = load(state, conditions(name, dtype))
        found = ready(state, loaded, state.architecture.inputs.example(2), conditions(name, dtype))
        assert state.model.get_parameter("classifier.weight").dtype == torch.float32
    assert 0 < found.difference < {"bf16": 0.1, "fp16": 0.0125}[dtype]


def test_signals_are_handled_after_openvino_has_run_two_models_and_dropped_them(tmp_path, tiny_state):
    """Its plugin puts a stack for signal handlers in place, which must not be one that is gone."""
    export(tiny_state(), "onnx", tmp_path / "tiny.onnx")
    code = (
        "import gc, os, signal; from pathlib import Path\n"
        "from prunebench.latency.backends.openvino import open_request\n"
        f"first, second = (open_request(Path({str(tmp_path / 'tiny.onnx')!r}), 1) for _ in range(2))\n"
        "del first; gc.collect(); del second; gc.collect()\n"
        "signal.signal(signal.SIGTERM, lambda *_: print('handled'))\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr
