"""Scaling: the loss is scaled up while gradients are of fp16, so that small ones are not lost (Micikevicius et al.
2018, arXiv 1710.03740).

The scale begins at 65,536. A step whose gradients overflow is skipped, and halves it; 2,000 in a row that do not double
it. So a few skipped steps are usual when a training begins, and many are a sign of values that fp16 does not hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from prunebench.training.state import StepState

MANY = 0.05
"""Share of steps from which on it is told that they were skipped,"""

USUAL = 8
"""beside those that are usual when a training begins."""


class Scaling:
    """The scale of the loss of one fit, and the steps that were skipped.

    Args:
        device: where it is trained.
        begun: what `told` told where the fit stood; empty at its beginning.
        enabled: whether anything is scaled; else this is the optimizer's step and nothing more.
    """

    def __init__(self, device: torch.device, begun: Mapping[str, float], *, enabled: bool) -> None:
        self._scaler = torch.amp.GradScaler(device.type, enabled=enabled)
        self._enabled = enabled
        self._steps = int(begun.get("steps", 0))
        self._skipped = torch.tensor(begun.get("skipped", 0.0), device=device)
        if begun and enabled:
            known = {"scale": begun["scale"], "_growth_tracker": int(begun["growth"])}
            self._scaler.load_state_dict(self._scaler.state_dict() | known)

    def scaled(self, loss: torch.Tensor) -> torch.Tensor:
        """The loss, as it is to be differentiated."""
        found: torch.Tensor = self._scaler.scale(loss)
        return found

    def unscale(self, optimizer: torch.optim.Optimizer) -> None:
        """Have gradients be those of the loss, before they are clipped."""
        self._scaler.unscale_(optimizer)

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """The optimizer's step, unless gradients have overflown."""
        self._scaler.step(optimizer)
        if not self._enabled:
            return
        assert self._scaler._scale is not None
        before = self._scaler._scale.clone()  # stays on the device: `get_scale` would wait for it
        self._scaler.update()
        self._skipped += self._scaler._scale < before
        self._steps += 1

    def told(self) -> dict[str, float]:
        """Where it stands, in numbers that JSON keeps to the bit; nothing where nothing is scaled."""
        if not self._enabled:
            return {}
        kept = self._scaler.state_dict()
        scale = {"scale": float(kept["scale"]), "growth": float(kept["_growth_tracker"])}
        return {**scale, "steps": float(self._steps), "skipped": float(self._skipped)}

    def noted(self, state: StepState) -> StepState:
        """A state with a remark where many steps were skipped."""
        told = self.told()
        if not told or told["skipped"] <= USUAL + MANY * told["steps"]:
            return state
        said = (
            f"{told['skipped']:,.0f} of {told['steps']:,.0f} steps of training were skipped, as their gradients "
            f"overflow fp16; --dtype bf16 or fp32 holds them"
        )
        return replace(state, notes=(*state.notes, said))
