"""Exported files, timed by the same protocol where there is no torch: on the device that they will run on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from prunebench.alternation import alternate
from prunebench.errors import ConfigError
from prunebench.latency.budget import Budget
from prunebench.latency.config import EfficiencyConfig
from prunebench.latency.opened_files import check_runtime, feeder, opened
from prunebench.latency.rehearsal import Piece, rehearse
from prunebench.records import LatencyRecord

LENGTH = 128
"""Tokens of a sentence, where a file takes any number and none was asked for."""


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
        ModelError: a file is not ONNX, has inputs that random numbers do not fit, or does not run, in the time and the
            memory that there is.
    """
    if config.backend not in ("onnxruntime", "openvino"):
        raise ConfigError(f"--onnx files run on onnxruntime or openvino; {config.backend} does not read them.")
    if config.dtype not in ("fp32",) or config.image_size is not None:
        raise ConfigError("An ONNX file has its own arithmetic and image size; leave --dtype and --image-size out.")
    for path in paths:
        if not path.is_file():
            raise ConfigError(f"{path}: there is no such file.")
        if any("\ud800" <= sign <= "\udfff" for sign in str(path)):
            raise ConfigError(f"{path}: the runtimes of ONNX files take names in UTF-8 only. Rename it.")
    for name in ("onnxruntime", config.backend):
        check_runtime(name)
    length = config.sequence_length or LENGTH
    piece = Piece(tuple(map(str, paths)), config.backend, config.batch_sizes, length, threads)
    rehearse(piece, seconds=config.time_budget, stop=stop)
    feeders = [feeder(path, length) for path in paths]
    running = [opened(path, config.backend, threads) for path in paths]
    budget = Budget(config.time_budget, (32.0 + size for size in config.batch_sizes))
    records = []
    for size in config.batch_sizes:
        calls = {i: partial(run, feeders[i](size)) for i, run in enumerate(running)}
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
