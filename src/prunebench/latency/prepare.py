"""Backends: a model loaded into a backend, made ready for a batch, and compared with eager PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from prunebench.errors import ConfigError, ModelError, PrunebenchError
from prunebench.latency.backends import Backend, Loaded
from prunebench.latency.config import EfficiencyConfig
from prunebench.models.checkpoint import Checkpoint, weights_of
from prunebench.models.input_spec import output_of, to
from prunebench.models.memory import peak_bytes
from prunebench.pruning.granularity import Pattern
from prunebench.records import Scores
from prunebench.registry import check_installed
from prunebench.training.fit import Stop

TOLERANCE = {"fp32": 1e-3, "bf16": 0.25}
"""By how much a logit may differ from eager PyTorch's in fp32, relative to the largest; beyond that it is wrong."""

Scorer = Callable[[Loaded], Scores]
"""Measures the accuracy of a model in a backend on the test data."""


@dataclass(frozen=True)
class Conditions:
    """What all timings of one command share.

    Attributes:
        about: run, model and method, for the records.
        compressible: whether single weights were pruned, so that layers may be stored compressed.
        pattern: that single weights were pruned by.
        score: measures accuracy where a backend's numbers differ; None where the weights are untrained.
        stop: asked before every round whether to stop.
    """

    backend: Backend
    device: torch.device
    efficiency: EfficiencyConfig
    about: Mapping[str, Any]
    compressible: bool = False
    score: Scorer | None = None
    stop: Stop | None = None
    pattern: Pattern | None = None


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
        raise ConfigError(f"--backend {backend.name} computes in {' and '.join(backend.dtypes)} only, not in {dtype}.")


def load(state: Checkpoint, conditions: Conditions) -> Loaded:
    """A model in the backend.

    Raises:
        ModelError: the backend cannot take it.
    """
    with _told(conditions.backend.name, state):
        return conditions.backend.load(state, conditions.device, conditions.efficiency.dtype)


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
    if not difference <= TOLERANCE[conditions.efficiency.dtype]:  # false for NaN
        raise ModelError(
            f"--backend {conditions.backend.name} answers otherwise than eager PyTorch: a logit of "
            f"{state.architecture.model} differs by {difference:.2g} of the largest. It is not timed."
        )
    return Ready(call, difference)


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
    return weights // (2 if conditions.efficiency.dtype == "bf16" else 1) + peak_bytes(call, conditions.device)


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
