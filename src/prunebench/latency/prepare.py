"""Backends: a model loaded into a backend, made ready for a batch, and compared with eager PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from typing import Any

import msgspec
import torch

from prunebench.errors import ConfigError, ModelError, PrunebenchError
from prunebench.latency.backends import Backend, Loaded, backends
from prunebench.latency.config import EfficiencyConfig
from prunebench.models.checkpoint import Checkpoint, weights_of
from prunebench.models.input_spec import output_of, to
from prunebench.models.memory import peak_bytes
from prunebench.pruning.granularity import Pattern
from prunebench.records import Score, Scores
from prunebench.registry import check_installed
from prunebench.training.device import HALF
from prunebench.training.fit import Stop

INT8 = "int8"

TOLERANCE = {"fp32": 1e-3, "tf32": 0.03, "fp16": 0.03, "bf16": 0.25, INT8: inf}
"""By how much a logit may differ from eager PyTorch's in fp32, relative to the largest; beyond that it is wrong. Of
int8 the accuracy tells."""


@dataclass(frozen=True)
class Scored:
    """What a model scores on the test data, and for how many samples it answers as the first one beside it."""

    scores: Scores
    agreement: Score


Scorer = Callable[..., Sequence[Scored]]
"""Scores models in a backend on the test data."""


@dataclass(frozen=True)
class Conditions:
    """What all timings of one command share.

    Attributes:
        about: run, model and method, for the records.
        compressible: whether single weights were pruned, so that layers may be stored compressed.
        pattern: that single weights were pruned by.
        score: measures accuracy where a backend's numbers differ; None where the weights are untrained.
        stop: asked before every round whether to stop.
        calibration: inputs of training samples that int8 is calibrated on; None where the weights are untrained.
    """

    backend: Backend
    device: torch.device
    efficiency: EfficiencyConfig
    about: Mapping[str, Any]
    compressible: bool = False
    score: Scorer | None = None
    stop: Stop | None = None
    pattern: Pattern | None = None
    calibration: Callable[[], Sequence[Any]] | None = None


@dataclass(frozen=True)
class Ready:
    """A model in a backend with a batch in place.

    Attributes:
        call: runs the batch; returns when the backend has been told all (a GPU may still compute).
        difference: largest difference of a logit from eager PyTorch's in fp32, relative to the largest logit.
    """

    call: Callable[[], object]
    difference: float


def check_usable(backend: Backend, device: torch.device, dtype: str) -> None:
    """Raise ConfigError where the backend is not installed, or does not compute on the device or in the dtype."""
    check_installed(backend.needs, f"--backend {backend.name}", backend.extra)
    if backend.devices and device.type not in backend.devices:
        raise ConfigError(
            f"--backend {backend.name} computes on {' and '.join(backend.devices)} only; give --device "
            f"{backend.devices[0]}."
        )
    if dtype not in backend.dtypes:
        others = ", ".join(name for name in backends.names() if dtype in backends.get(name).dtypes)
        own = ", ".join(backend.dtypes)
        raise ConfigError(f"--backend {backend.name} computes in {own} only, not in {dtype}. What does: {others}.")


def load(state: Checkpoint, conditions: Conditions) -> Loaded:
    """A model in the backend.

    Raises:
        ModelError: the backend cannot take it.
    """
    with _told(conditions.backend.name, state):
        return conditions.backend.load(state, conditions.device, conditions.efficiency.dtype)


def load_int8(state: Checkpoint, conditions: Conditions) -> tuple[Loaded, Loaded]:
    """A model in the backend, in fp32 and in int8.

    Raises:
        ModelError: the backend cannot take it, or not in int8.
    """
    make = conditions.backend.load_int8
    assert make is not None
    count = conditions.efficiency.int8_samples
    with _told(f"{conditions.backend.name} --dtype {INT8}", state):
        batches = conditions.calibration() if conditions.calibration else [state.architecture.inputs.example(count)]
        full, small = make(state, batches)
    assert small.quantised is not None
    on = "training data" if conditions.calibration else "random inputs"
    told = msgspec.structs.replace(small.quantised, calibrated_on=on if small.quantised.samples else "")
    return full, replace(small, quantised=told)


def ready(state: Checkpoint, loaded: Loaded, batch: Any, conditions: Conditions) -> Ready:
    """Put a batch in place, run it once, and compare the answer with that of `state.model` in eager PyTorch.

    Raises:
        ModelError: the backend fails, or answers differently.
    """
    size = len(next(iter(batch.values())) if isinstance(batch, dict) else batch)
    with _told(conditions.backend.name, state):
        call = partial(loaded.runner(size), loaded.place(batch))
        answer = as_logits(call())
    expected = as_logits(output_of(state.model, to(batch, device=conditions.device)))
    difference = difference_of(answer, expected)
    if not difference <= TOLERANCE[dtype_of(loaded, conditions)]:  # false for NaN
        raise ModelError(
            f"--backend {conditions.backend.name} answers otherwise than eager PyTorch: a logit of "
            f"{state.architecture.model} differs by {difference:.2g} of the largest. It is not timed."
        )
    return Ready(call, difference)


def dtype_of(loaded: Loaded, conditions: Conditions) -> str:
    """What a model is computed in: beside int8 stands fp32."""
    dtype = conditions.efficiency.dtype
    return "fp32" if dtype == INT8 and loaded.quantised is None else dtype


def difference_of(answer: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest difference of a logit, relative to the largest that is expected; as it is where all of these are zero.

    What is infinite or NaN in both does not differ; NaN where it is so in one of them.
    """
    same = (answer == expected) | (answer.isnan() & expected.isnan())
    largest = float(expected.masked_fill(~expected.isfinite(), 0).abs().max())
    return float((answer - expected).abs().masked_fill(same, 0).max()) / (largest or 1.0)


def as_logits(answer: Any) -> torch.Tensor:
    """What a backend returned, as float32 on the CPU."""
    return torch.as_tensor(answer).float().cpu()


def memory_of(state: Checkpoint, call: Callable[[], object], conditions: Conditions) -> int | None:
    """Bytes that weights and one pass take at most; None where not PyTorch allocates them."""
    if conditions.backend.needs:
        return None
    weights: int = sum(tensor.nbytes for tensor in weights_of(state.model).values())
    return weights // (2 if conditions.efficiency.dtype in HALF else 1) + peak_bytes(call, conditions.device)


@contextmanager
def _told(name: str, state: Checkpoint) -> Iterator[None]:
    """Backends fail in their own ways; what they say becomes one line."""
    try:
        yield
    except (PrunebenchError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        if "can't allocate memory" in str(error):
            raise
        reason = (str(error).strip().splitlines() or ["no reason is given"])[0]
        raise ModelError(
            f"--backend {name} cannot run {state.architecture.model}: {type(error).__name__}: {reason}"
        ) from error
