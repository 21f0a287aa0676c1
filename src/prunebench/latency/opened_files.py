"""An ONNX file opened: what runs it on a backend, and inputs made up for it. Knows no torch."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from prunebench.errors import ConfigError, ModelError
from prunebench.latency.backends.openvino import open_request
from prunebench.latency.sessions import open_session

KINDS = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(int32)": np.int32}

Feeder = Callable[[int], Mapping[str, Any]]
"""Makes a batch of so many samples, by the names of a file's inputs."""


def opened(path: Path, backend: str, threads: int) -> Callable[[Mapping[str, Any]], object]:
    """What runs a file."""
    check_runtime(backend)
    if backend == "onnxruntime":
        return partial(open_session(path, threads).run, None)
    request = open_request(path, threads)
    return lambda fed: request.infer(fed, share_inputs=True)


def feeder(path: Path, length: int) -> Feeder:
    """What makes batches for a file; sides of inputs that it leaves open, but for the batch, are of this length.

    Raises:
        ModelError: the file is not ONNX, or has inputs that random numbers do not fit.
    """
    check_runtime("onnxruntime")  # reads what inputs there are, whichever backend runs the file
    try:
        inputs = [(of.name, of.type, of.shape) for of in open_session(path, 1).get_inputs()]
    except Exception as error:  # the runtime's own kinds
        raise ModelError(f"{path} cannot be read as an ONNX file: {first_line(error)}") from error
    for name, kind, _ in inputs:
        if kind not in KINDS:
            raise ModelError(f"{path}: its input {name} is a {kind}; only {', '.join(KINDS)} can be made up.")

    def feed(size: int) -> dict[str, Any]:
        draw = np.random.default_rng(0)
        fed = {}
        for name, kind, shape in inputs:
            whole = [size, *(side if isinstance(side, int) else length for side in shape[1:])]
            real = kind == "tensor(float)"
            fed[name] = draw.standard_normal(whole, np.float32) if real else np.ones(whole, KINDS[kind])
        return fed

    return feed


def check_runtime(name: str) -> None:
    """Raise ConfigError where a runtime is not installed."""
    try:
        importlib.import_module(name)
    except ImportError as error:
        extra = "onnx" if name == "onnxruntime" else name
        raise ConfigError(
            f"{name} is not installed, which --onnx needs: install it with: pip install 'prunebench[{extra}]'"
        ) from error


def first_line(error: Exception) -> str:
    """What an error of a runtime says first, but for the places in its source; its name where it says nothing."""
    lines = [line for line in str(error).splitlines() if line.strip() and not line.startswith("Exception from ")]
    return (lines or [type(error).__name__])[0].strip()
