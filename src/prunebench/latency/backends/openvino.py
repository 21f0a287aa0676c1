"""OpenVINO on the CPU, held to the arithmetic that was asked for. What reads a file knows no torch."""

from __future__ import annotations

import importlib
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunebench.latency.backends import Backend, Loaded, backends

if TYPE_CHECKING:
    import torch

    from prunebench.models.checkpoint import Checkpoint

PRECISION = {"fp32": "f32", "bf16": "bf16"}
"""OpenVINO computes in bf16 wherever the CPU can, unless it is told otherwise."""


def load(state: Checkpoint, device: torch.device, dtype: str) -> Loaded:
    """The model, by way of ONNX, compiled once for every batch size."""
    import torch

    from prunebench.models.export import onnx_program

    request = open_request(onnx_program(state), torch.get_num_threads(), dtype)
    names = [of.any_name for of in request.model_inputs]

    def place(batch: Any) -> dict[str, Any]:
        parts = batch if isinstance(batch, dict) else {names[0]: batch}
        return {name: part.cpu().numpy() for name, part in parts.items()}

    return Loaded(place, lambda batch_size: lambda fed: request.infer(fed, share_inputs=True)[0])


def open_request(program: bytes | Path, threads: int, dtype: str = "fp32") -> Any:
    """What runs an ONNX file or its bytes."""
    core = _core()
    model = core.read_model(program)
    settings = {
        "INFERENCE_PRECISION_HINT": PRECISION[dtype],
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
    }
    return core.compile_model(model, "CPU", settings).create_infer_request()


@cache
def _core() -> Any:
    """The one core of this process.

    A core's CPU plugin gives the thread a stack for signal handlers, and when it is destroyed puts back the one from
    before. With two cores, that may be the stack of the other, which is gone; the next signal that Python handles (of a
    child that ends, say) then kills the process.
    """
    os.environ.setdefault("OPENVINO_TELEMETRY_ENABLED", "0")
    return importlib.import_module("openvino").Core()


backends.add(
    "openvino",
    Backend(
        "openvino",
        "OpenVINO on the CPU, pinned to f32 unless bf16 is asked for",
        load,
        needs=("openvino", "onnx", "onnxscript"),
        extra="openvino",
        dtypes=tuple(PRECISION),
        devices=("cpu",),
    ),
)
