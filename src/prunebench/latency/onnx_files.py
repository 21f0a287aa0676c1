"""Exported files, timed by the same protocol where there is no torch: on the device that they will run on."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from prunebench.errors import ConfigError, ModelError
from prunebench.latency.backends.onnxruntime import open_session
from prunebench.latency.backends.openvino import open_request
from prunebench.latency.budget import Budget
from prunebench.latency.config import EfficiencyConfig
from prunebench.latency.protocol import alternate
from prunebench.records import LatencyRecord

LENGTH = 128
"""Tokens of a sentence, where a file takes any number and none was asked for."""

KINDS = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(int32)": np.int32}

Feeder = Callable[[int], Mapping[str, Any]]
"""Makes a batch of so many samples, by the names of a file's inputs."""


def time_files(
    paths: Sequence[Path], config: EfficiencyConfig, *, threads: int, stop: Callable[[], bool] | None = None
) -> list[LatencyRecord]:
    """Time ONNX files on random inputs, all in alternation at each batch size; the first is the baseline.

    The i-th file's records have step i; `model` is its name. InputSpec and their sizes are read from the files.

    Args:
        paths: the files.
        config: the backend (onnxruntime or openvino), batch sizes, sequence length, and how long to time.
        threads: that the backend may use.
        stop: asked before every round whether to stop.

    Raises:
        ConfigError: there is no such file, the backend is not installed or is another one.
        ModelError: a file is not ONNX, has inputs that random numbers do not fit, or does not run.
    """
    if config.backend not in ("onnxruntime", "openvino"):
        raise ConfigError(f"--onnx files run on onnxruntime or openvino; {config.backend} does not read them.")
    if config.dtype not in ("fp32",) or config.image_size is not None:
        raise ConfigError("An ONNX file has its own arithmetic and image size; leave --dtype and --image-size out.")
    feeders = [_feeder(path, config.sequence_length or LENGTH) for path in paths]
    opened = [_open(path, config.backend, threads) for path in paths]
    budget = Budget(config.time_budget, (32.0 + size for size in config.batch_sizes))
    records = []
    for size in config.batch_sizes:
        calls = {i: partial(run, feeders[i](size)) for i, run in enumerate(opened)}
        for i, call in calls.items():
            _tried(call, paths[i])
        with budget.share(32.0 + size) as seconds:
            timed = alternate(
                calls,
                [(0, i) for i in calls if i],
                seconds=seconds,
                ci_width=config.ci_width,
                seed=size,
                stop=stop,
            )
        records += [
            LatencyRecord(
                run=None,
                model=path.name,
                method="file",
                step=i,
                nominal_left=1.0,
                variant="pruned" if i else "original",
                batch_size=size,
                device="cpu",
                dtype="fp32",
                threads=threads,
                samples_ms=timed.samples_ms[i],
                backend=config.backend,
                inputs=", ".join(f"{name} {list(part.shape[1:])}" for name, part in feeders[i](1).items()),
                warmup_rounds=timed.warmup_rounds,
                ended=timed.ended,
            )
            for i, path in enumerate(paths)
        ]
    return records


def _open(path: Path, backend: str, threads: int) -> Callable[[Mapping[str, Any]], object]:
    _installed(backend)
    if backend == "onnxruntime":
        return partial(open_session(path, threads).run, None)
    request = open_request(path, threads)
    return lambda fed: request.infer(fed, share_inputs=True)


def _feeder(path: Path, length: int) -> Feeder:
    """What makes batches for a file."""
    if not path.is_file():
        raise ConfigError(f"{path}: there is no such file.")
    _installed("onnxruntime")  # reads what inputs there are, whichever backend runs the file
    try:
        inputs = [(of.name, of.type, of.shape) for of in open_session(path, 1).get_inputs()]
    except Exception as error:  # the runtime's own kinds
        raise ModelError(f"{path} cannot be read as an ONNX file: {_first_line(error)}") from error
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


def _installed(name: str) -> None:
    try:
        importlib.import_module(name)
    except ImportError as error:
        extra = "onnx" if name == "onnxruntime" else name
        raise ConfigError(
            f"{name} is not installed, which --onnx needs: install it with: pip install 'prunebench[{extra}]'"
        ) from error


def _tried(call: Callable[[], object], path: Path) -> None:
    try:
        call()
    except Exception as error:  # the runtime's own kinds
        raise ModelError(f"{path} does not run: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
