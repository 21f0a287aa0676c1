"""Halfway: a step that is not finished, kept in one safetensors file, so that it goes on to the bit where it stopped.

weight:NAME  mask:NAME  optimizer:NUMBER:NAME     tensors
structure, tokenizer, so_far                      metadata: JSON
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors import SafetensorError, safe_open

from prunebench.errors import RunError
from prunebench.models.checkpoint import Checkpoint, assemble, structure_of, write_tensors
from prunebench.records import FORMAT, Accuracy, Seconds
from prunebench.runs.run import Run
from prunebench.training.progress import Mark


class SoFar(msgspec.Struct, frozen=True, kw_only=True):
    """What a step has come to: what was there before it, accuracy before fine-tuning, remarks, and the fit's mark."""

    format: int = FORMAT
    step: int
    before: dict[str, int] | None = None
    evaluated: tuple[Accuracy, Accuracy] | None = None
    notes: tuple[str, ...] = ()
    seconds: Seconds = Seconds()
    mark: Mark = Mark()


@dataclass(frozen=True)
class Halfway:
    """A step that is not finished: the model as it is, what it has come to, and the optimizer's tensors."""

    state: Checkpoint
    so_far: SoFar
    optimizer: Mapping[str, torch.Tensor] = field(default_factory=dict)


def read(run: Run, step: int, builder: Any) -> Halfway | None:
    """What was kept of a step that is not finished; None where nothing was.

    Raises:
        RunError: the file is damaged.
    """
    path = run.progress()
    if path is None:
        return None
    try:
        with safe_open(path, "pt") as file:
            about = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        so_far = msgspec.json.decode(about["so_far"], type=SoFar)
        structure = about["structure"].encode()
    except (OSError, SafetensorError, msgspec.MsgspecError, KeyError, TypeError) as error:
        raise RunError(f"{path} cannot be read: {error}. Delete it; the step then begins anew.") from error
    if so_far.step != step:
        return None
    parts: dict[str, dict[str, torch.Tensor]] = {"weight": {}, "mask": {}, "optimizer": {}}
    for name, tensor in tensors.items():
        kind, _, rest = name.partition(":")
        parts.setdefault(kind, {})[rest] = tensor
    state = assemble(
        structure,
        parts["weight"],
        parts["mask"],
        about.get("tokenizer"),
        builder=builder,
        name=str(path),
    )
    return Halfway(state, so_far, parts["optimizer"])


class Keeper:
    """The journal of one step's fit: keeps the step in its run.

    Args:
        run: held by this process.
        half: what the step had come to when the fit begins; its model is trained in place.
        every: minutes between two writes inside an epoch.
    """

    def __init__(self, run: Run, half: Halfway, every: float) -> None:
        self._run, self._half = run, half
        self._every = 60 * every
        self._begun = self._written = time.monotonic()

    @property
    def mark(self) -> Mark:
        """Where the fit begins."""
        return self._half.so_far.mark

    def restore(self, optimizer: torch.optim.Optimizer) -> None:
        """Give a new optimizer the state that it had at the mark, in the memory layout of its parameters."""
        for number, parameter in enumerate(_parameters(optimizer)):
            mine = f"{number}:"
            for name, tensor in self._half.optimizer.items():
                if name.startswith(mine):
                    key = name.removeprefix(mine)
                    if key == "step":  # fused kernels count on the device, others on the CPU
                        kept = tensor.to(parameter.device if optimizer.defaults.get("fused") else "cpu")
                    else:  # fused kernels ignore strides, so a moment must lie in memory as its parameter does
                        kept = torch.empty_like(parameter).copy_(tensor)
                    optimizer.state[parameter][key] = kept

    def due(self) -> bool:
        """Whether the last write is as long ago as was asked for."""
        return time.monotonic() - self._written >= self._every

    def write(self, mark: Mark, optimizer: torch.optim.Optimizer | None) -> None:
        """Replace the run's progress.

        Raises:
            DiskError: it cannot be written.
        """
        before, state = self._half.so_far.seconds, self._half.state
        seconds = msgspec.structs.replace(before, finetune=before.finetune + time.monotonic() - self._begun)
        so_far = msgspec.structs.replace(self._half.so_far, mark=mark, seconds=seconds)
        tensors = {f"weight:{name}": tensor for name, tensor in state.model.state_dict().items()}
        tensors |= {f"mask:{name}": tensor for name, tensor in state.masks.items()}
        for number, parameter in enumerate(_parameters(optimizer) if optimizer else ()):
            kept = optimizer.state.get(parameter, {}) if optimizer else {}
            tensors |= {f"optimizer:{number}:{name}": value for name, value in kept.items() if torch.is_tensor(value)}
        about = {"structure": structure_of(state).decode(), "so_far": msgspec.json.encode(so_far).decode()}
        about |= {"tokenizer": state.tokenizer} if state.tokenizer is not None else {}

        def put(path: Path) -> None:
            write_tensors(tensors, path, about)

        self._run.write_progress(so_far.step, put)
        self._written = time.monotonic()


def _parameters(optimizer: torch.optim.Optimizer) -> list[torch.nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
