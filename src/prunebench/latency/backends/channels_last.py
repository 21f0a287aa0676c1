"""Eager PyTorch with images and weights in the memory layout channels-last (NHWC)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from prunebench.latency.backends import Backend, Loaded, backends, eager

if TYPE_CHECKING:
    import torch

    from prunebench.models.checkpoint import Checkpoint


def load(state: Checkpoint, device: torch.device, dtype: str) -> Loaded:
    """A copy of the model in this layout; what reads text has no such layout and stays as it is."""
    import torch

    from prunebench.models.taken_over import copied

    images = state.architecture.inputs.kind == "images"
    model = copied(state.model).to(memory_format=torch.channels_last) if images else state.model
    loaded = eager.load(replace(state, model=model), device, dtype)

    def place(batch: Any) -> Any:
        placed = loaded.place(batch)
        return placed.contiguous(memory_format=torch.channels_last) if images else placed

    return Loaded(place, loaded.runner)


backends.add("channels-last", Backend("channels-last", "PyTorch as it is, NHWC", load))
