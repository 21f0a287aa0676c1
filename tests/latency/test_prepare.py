"""Backends that are missing, fail or are wrong say so in a line; what is right is compared and measured."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from math import inf, nan

import pytest
import torch

from prunebench import EfficiencyConfig
from prunebench.errors import ConfigError, ModelError
from prunebench.latency.backends import Backend, Loaded, backends, eager
from prunebench.latency.prepare import (
    TOLERANCE,
    Conditions,
    as_logits,
    check_usable,
    difference_of,
    load,
    memory_of,
    ready,
)

CPU = torch.device("cpu")


def conditions(backend, dtype="fp32"):
    """Of a backend, or of a function that loads one."""
    backend = backend if isinstance(backend, Backend) else Backend("mine", "my own", backend)
    return Conditions(backend=backend, device=CPU, efficiency=EfficiencyConfig(dtype=dtype), about={})


def wrong_by(share):
    """A backend whose largest logit is off by this share of it."""

    def of(state, device, dtype):
        right = eager.load(state, device, dtype)

        def run(inputs):
            logits = right.runner(2)(inputs).clone()
            logits.view(-1)[logits.abs().argmax()] *= 1 + share
            return logits

        return Loaded(right.place, lambda batch_size: run)

    return of


@pytest.mark.parametrize(("share", "fits"), [(1e-5, True), (5e-4, True), (5e-3, False), (float("nan"), False)])
def test_an_engine_that_answers_otherwise_is_not_timed(share, fits, tiny_state):
    state, of = tiny_state(), conditions(wrong_by(share))
    batch = state.architecture.inputs.example(2)
    with torch.inference_mode():
        if fits:
            assert ready(state, load(state, of), batch, of).difference == pytest.approx(share, rel=0.05)
        else:
            with pytest.raises(ModelError, match="--backend mine answers otherwise than eager PyTorch"):
                ready(state, load(state, of), batch, of)


@pytest.mark.parametrize(
    ("expected", "answer", "difference"),
    [
        ([0.0, 0.0], [0.0, -0.0], 0.0),
        ([0.0, 0.0], [0.0, 1e-9], 1e-9),
        ([2.0, -4.0], [2.0, -3.0], 0.25),
        ([inf, 2.0], [inf, 1.0], 0.5),
        ([-inf, nan], [-inf, nan], 0.0),
        ([inf, 2.0], [-inf, 2.0], inf),
        ([1.0, 2.0], [1.0, nan], nan),
        ([1.0, nan], [1.0, 2.0], nan),
    ],
)
def test_a_difference_is_relative_to_the_largest_logit_where_there_is_one(expected, answer, difference):
    found = difference_of(torch.tensor(answer), torch.tensor(expected))
    assert found == pytest.approx(difference, nan_ok=True)


@pytest.mark.parametrize("name", ["eager", "onnxruntime", "openvino"])
def test_a_model_whose_answers_are_all_zero_is_timed(name, tiny_state):
    state, of = tiny_state(), conditions(backends.get(name))
    torch.nn.init.zeros_(state.model.classifier[3].weight)
    torch.nn.init.zeros_(state.model.classifier[3].bias)
    with torch.inference_mode():
        found = ready(state, load(state, of), state.architecture.inputs.example(2), of)
    assert found.difference == 0


def test_the_difference_may_be_larger_in_bf16(tiny_state):
    state, of = tiny_state(), conditions(wrong_by(5e-3), "bf16")
    with torch.inference_mode():
        found = ready(state, load(state, of), state.architecture.inputs.example(2), of)
    assert found.difference > TOLERANCE["fp32"]


@pytest.mark.parametrize("where", ["load", "run"])
def test_whatever_an_engine_raises_becomes_a_line(where, tiny_state):
    def fail(*args):
        raise KeyError("something\nwith many\nlines")

    def of(state, device, dtype):
        return fail() if where == "load" else Loaded(lambda batch: batch, lambda batch_size: fail)

    state, mine = tiny_state(), conditions(of)
    with pytest.raises(ModelError, match=r"--backend mine cannot run tiny: KeyError: .*something") as error:
        ready(state, load(state, mine), state.architecture.inputs.example(), mine)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", [name for name in backends.names() if backends.get(name).needs])
def test_an_engine_that_is_not_installed_says_how_to_install_it(name, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda package: None)
    with pytest.raises(ConfigError, match=rf"--backend {name} needs.*pip install 'prunebench\[\w+\]'"):
        check_usable(backends.get(name), CPU, "fp32")


def test_devices_and_dtypes_that_an_engine_lacks_are_refused():
    with pytest.raises(ConfigError, match="computes on cpu only; give --device cpu"):
        check_usable(backends.get("openvino"), torch.device("cuda"), "fp32")
    with pytest.raises(ConfigError, match=r"computes in fp32, int8 only, not in bf16\. What does: .*eager"):
        check_usable(backends.get("onnxruntime"), CPU, "bf16")
    for name in backends.names():
        check_usable(backends.get(name), CPU, "fp32")


def test_memory_holds_weights_and_a_pass(tiny_state):
    state, of = tiny_state(), conditions(backends.get("eager"))
    weights = sum(tensor.nbytes for tensor in state.model.state_dict().values())
    found = memory_of(state, lambda: torch.zeros(1000), of)
    assert found == weights + 4000
    half = conditions(backends.get("eager"), "bf16")
    assert memory_of(state, lambda: None, half) == weights // 2
    assert memory_of(state, lambda: None, conditions(backends.get("openvino"))) is None
    assert memory_of(replace(state), lambda: None, of) == weights


def test_answers_of_any_kind_become_float32():
    assert as_logits(torch.ones(2, 3, dtype=torch.bfloat16)).dtype == torch.float32
    assert torch.equal(as_logits(torch.ones(2, 3).numpy()), torch.ones(2, 3))
