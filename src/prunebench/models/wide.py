"""Wide numbers: float64, and what is done on devices that have none (mps)."""

from __future__ import annotations

import torch


def widest(device: torch.device) -> torch.dtype:
    """The widest floating-point numbers of a device."""
    return torch.float32 if device.type == "mps" else torch.float64


def doubled(values: torch.Tensor) -> torch.Tensor:
    """The same in float64: on their device, or on the CPU where that has none."""
    return values.to("cpu" if values.device.type == "mps" else values.device).double()
