"""Eager PyTorch, as the model was trained."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from prunebench.latency.backends import Backend, Loaded, backends
from prunebench.models.input_spec import output_of, to

if TYPE_CHECKING:
    import torch

    from prunebench.models.checkpoint import Checkpoint


def load(state: Checkpoint, device: torch.device, dtype: str) -> Loaded:
    """The model itself; in 16 bits a copy."""
    import torch

    from prunebench.models.taken_over import copied
    from prunebench.training.device import HALF

    kind = HALF.get(dtype, torch.float32)
    model = copied(state.model).to(kind) if dtype in HALF else state.model

    def place(batch: Any) -> Any:
        return to(batch, device=device, dtype=kind)

    return Loaded(place, lambda batch_size: partial(output_of, model))


backends.add("eager", Backend("eager", "PyTorch as it is, NCHW", load))
