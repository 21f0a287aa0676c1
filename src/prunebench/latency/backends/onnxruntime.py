"""ONNX Runtime on the CPU. What reads a file knows no torch."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunebench.latency.backends import Backend, Loaded, backends

if TYPE_CHECKING:
    import torch

    from prunebench.models.checkpoint import Checkpoint


def load(state: Checkpoint, device: torch.device, dtype: str) -> Loaded:
    """The model, exported to ONNX, in a session that runs every batch size."""
    import torch

    from prunebench.models.export import onnx_program

    session = open_session(onnx_program(state), torch.get_num_threads())
    names = [of.name for of in session.get_inputs()]

    def place(batch: Any) -> dict[str, Any]:
        parts = batch if isinstance(batch, dict) else {names[0]: batch}
        return {name: part.cpu().numpy() for name, part in parts.items()}

    return Loaded(place, lambda batch_size: lambda fed: session.run(None, fed)[0])


def open_session(program: bytes | Path, threads: int) -> Any:
    """A session for an ONNX file or its bytes."""
    runtime = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    options.add_session_config_entry(
        "session.force_spinning_stop", "1"
    )  # else idle sessions slow the one that is timed
    return runtime.InferenceSession(program, options, providers=["CPUExecutionProvider"])


backends.add(
    "onnxruntime",
    Backend(
        "onnxruntime",
        "ONNX Runtime on the CPU",
        load,
        needs=("onnx", "onnxscript", "onnxruntime"),
        extra="onnx",
        dtypes=("fp32",),
        devices=("cpu",),
    ),
)
