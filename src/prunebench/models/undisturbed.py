"""Undisturbed: what PyTorch has once per process is the caller's again whenever a function of the library returns.

Threads, deterministic algorithms, TF32 and the state of the global generators are set while the library computes;
between two records that a generator yields, too, the caller has its own.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

import torch

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

VARIABLES = ("CUBLAS_WORKSPACE_CONFIG", "KINETO_LOG_LEVEL", "OPENVINO_TELEMETRY_ENABLED")
"""Variables of the environment that are set where PyTorch and a backend read them."""


PRECISIONS: tuple[Any, ...] = (
    torch.backends.cuda.matmul,
    torch.backends.mkldnn.matmul,  # type: ignore[attr-defined]
    torch.backends.cudnn.conv,  # type: ignore[attr-defined]
    torch.backends.cudnn.rnn,
)
"""Where PyTorch keeps what products of fp32 are computed in."""


def _legacy_tf32() -> tuple[str, bool] | None:
    """The same as PyTorch before 2.9 kept it; None where the caller has set it in the new way alone, and PyTorch
    refuses to tell."""
    try:
        return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    except RuntimeError:
        return None


def undisturbed(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Decorator of a function, or of a generator function, that leaves the process as it was.

    Whatever the caller has set, the function computes with gradients and in float32.
    """
    if inspect.isgeneratorfunction(function):

        @wraps(function)
        def stepwise(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Iterator[Any]:
            steps, mine = function(*args, **kwargs), _Globals()
            try:
                while True:
                    with _swapped(mine):
                        try:
                            item = next(cast("Iterator[Any]", steps))
                        except StopIteration:
                            return
                    yield item
            finally:
                if not sys.is_finalizing():  # else nobody misses anything
                    with _swapped(mine):
                        steps.close()

        return cast("Callable[Arguments, Result]", stepwise)

    @wraps(function)
    def whole(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        with _swapped(_Globals()):
            return function(*args, **kwargs)

    return whole


class _Globals:
    """What PyTorch has once per process, as it is when the object is made or read again."""

    def __init__(self) -> None:
        self.read()

    def read(self) -> None:
        self._threads = torch.get_num_threads()
        self._deterministic = torch.are_deterministic_algorithms_enabled()
        self._warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
        self._random = torch.get_rng_state()
        self._of_gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
        self._of_mps = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None
        self._precisions = [(place, place.fp32_precision) for place in PRECISIONS]
        self._legacy = _legacy_tf32()
        self._variables = {name: os.environ.get(name) for name in VARIABLES}

    def write(self) -> None:
        if torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)
        torch.use_deterministic_algorithms(self._deterministic, warn_only=self._warn_only)
        torch.set_rng_state(self._random)
        if self._of_gpus is not None:
            torch.cuda.set_rng_state_all(self._of_gpus)
        if self._of_mps is not None:
            torch.mps.set_rng_state(self._of_mps)
        if self._legacy is not None:
            torch.set_float32_matmul_precision(self._legacy[0])
            torch.backends.cudnn.allow_tf32 = self._legacy[1]
        for place, value in self._precisions:
            if place.fp32_precision != value:
                place.fp32_precision = value
        for name, value in self._variables.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _swapped(mine: _Globals) -> Iterator[None]:
    """Within it the process has what `mine` holds, and after it what it had before; `mine` has what changed within."""
    theirs, dtype = _Globals(), torch.get_default_dtype()
    mine.write()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        mine.read()
        theirs.write()
        torch.set_default_dtype(dtype)
