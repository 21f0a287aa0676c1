"""Sessions: ONNX files opened by ONNX Runtime on the CPU. Knows no torch."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any


def open_session(program: bytes | Path, threads: int, optimised: Path | None = None) -> Any:
    """A session for an ONNX file or its bytes; the graph that it runs is written to `optimised`."""
    runtime = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    options.add_session_config_entry(
        "session.force_spinning_stop", "1"
    )  # else idle sessions slow the one that is timed
    if optimised is not None:
        options.optimized_model_filepath = str(optimised)
    return runtime.InferenceSession(program, options, providers=["CPUExecutionProvider"])
