"""ONNX Runtime on the CPU, in fp32 and in int8."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from prunebench.latency.backends import Backend, Loaded, backends
from prunebench.latency.sessions import open_session

if TYPE_CHECKING:
    import torch

    from prunebench.models.checkpoint import Checkpoint


def load(state: Checkpoint, device: torch.device, dtype: str) -> Loaded:
    """The model, exported to ONNX, in a session that runs every batch size."""
    from prunebench.models.export import onnx_program

    return _loaded(onnx_program(state))


def load_int8(state: Checkpoint, batches: Sequence[Any]) -> tuple[Loaded, Loaded]:
    """The model in fp32, and quantised by ONNX Runtime's own quantiser.

    Raises:
        ModelError: nothing of it is computed in int8.
    """
    from prunebench.latency.quantisation import quantise
    from prunebench.models.export import onnx_program

    program = onnx_program(state)
    full = _loaded(program)
    small, told = quantise(program, [full.place(batch) for batch in batches], state.architecture.model)
    return full, replace(_loaded(small), quantised=told)


def _loaded(program: bytes) -> Loaded:
    import torch

    session = open_session(program, torch.get_num_threads())
    names = [of.name for of in session.get_inputs()]

    def place(batch: Any) -> dict[str, Any]:
        parts = batch if isinstance(batch, dict) else {names[0]: batch}
        return {name: part.cpu().numpy() for name, part in parts.items()}

    return Loaded(place, lambda batch_size: lambda fed: session.run(None, fed)[0], len(program))


backends.add(
    "onnxruntime",
    Backend(
        "onnxruntime",
        "ONNX Runtime on the CPU",
        load,
        needs=("onnx", "onnxscript", "onnxruntime"),
        extra="onnx",
        dtypes=("fp32", "int8"),
        load_int8=load_int8,
        devices=("cpu",),
    ),
)
