"""StepState: a step that is not finished, as data, so that it goes on to the bit where it was stopped.

the files of a checkpoint     the model as it is, its masks, its architecture, its tokenizer
optimizer.safetensors         NUMBER:NAME → tensor, by the number of the parameter
right.safetensors             part of the data → which samples were right before the fit
state.json                    everything else
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, get_type_hints

import msgspec
import torch
from safetensors import SafetensorError

from prunebench.errors import RunError
from prunebench.models import checkpoint as checkpoints
from prunebench.models.architecture import ModelEntry
from prunebench.models.checkpoint import Checkpoint, write_tensors
from prunebench.models.tensor_files import owned
from prunebench.reading import read_plain
from prunebench.records import FORMAT, RemovedBlock, Scores, Seconds, other_format

NO_SECONDS = Seconds()

LATER = ("removed", "scaling")
"""Fields that states of earlier versions do not have."""


@dataclass(frozen=True)
class StepState:
    """What a step has come to, and where its fit stands.

    Attributes:
        checkpoint: the model as it is; a fit trains it in place.
        before: units that there were before the step, by kind.
        scores: those before the fit, on test and on training data.
        right: which samples were right then, bool of shape (samples,), by part of the data; states of earlier versions
            have none.
        notes: remarks on what could not be removed.
        removed: blocks that went.
        scaling: where loss scaling stands, in fp16; else nothing.
        seconds: what the step has taken until now.
        epoch: finished epochs of the fit.
        batch: finished batches of the next epoch.
        loss, score, samples: sums over these, `score` of the main metric.
        mean_loss: of the last finished epoch.
        optimizer: its tensors, by `NUMBER:NAME`; none before the first batch and after the last.
    """

    step: int
    checkpoint: Checkpoint
    before: dict[str, int] | None = None
    scores: tuple[Scores, Scores] | None = None
    notes: tuple[str, ...] = ()
    seconds: Seconds = NO_SECONDS
    epoch: int = 0
    batch: int = 0
    loss: float = 0.0
    score: float = 0.0
    samples: int = 0
    mean_loss: float | None = None
    optimizer: Mapping[str, torch.Tensor] = field(default_factory=dict)
    right: Mapping[str, torch.Tensor] = field(default_factory=dict)
    removed: tuple[RemovedBlock, ...] = ()
    scaling: dict[str, float] = field(default_factory=dict)

    @property
    def at(self) -> tuple[int, int, int]:
        """The place where it stands: the step, finished epochs, and finished batches of the next one."""
        return self.step, self.epoch, self.batch

    def place(self, epochs: int) -> str:
        """`after epoch 2 of 5`, with the batch inside an epoch."""
        inside = f", batch {self.batch} of the next" if self.batch else ""
        return f"after epoch {self.epoch} of {epochs}{inside}"

    def save(self, folder: Path) -> None:
        """Write it into an existing folder."""
        self.writer()(folder)

    def writer(self) -> Callable[[Path], None]:
        """What writes it, as it is now, into an existing folder; tensors are read then (see `checkpoint.writer`)."""
        checkpoint = checkpoints.writer(self.checkpoint)
        told = {"format": FORMAT} | {name: getattr(self, name) for name in _told()}

        def write(folder: Path) -> None:
            checkpoint(folder)
            if self.optimizer:
                write_tensors(self.optimizer, folder / "optimizer.safetensors")
            if self.right:
                write_tensors(self.right, folder / "right.safetensors")
            (folder / "state.json").write_bytes(msgspec.json.format(msgspec.json.encode(told), indent=1))

        return write

    def with_optimizer(self, optimizer: torch.optim.Optimizer) -> StepState:
        """The same with an optimizer's tensors."""
        found = {
            f"{number}:{name}": value
            for number, parameter in enumerate(_parameters(optimizer))
            for name, value in optimizer.state.get(parameter, {}).items()
            if torch.is_tensor(value)
        }
        return replace(self, optimizer=found)

    def restore(self, optimizer: torch.optim.Optimizer) -> None:
        """Give a new optimizer the tensors that were kept, in the memory layout of its parameters."""
        parameters = _parameters(optimizer)
        for place, tensor in self.optimizer.items():
            number, _, name = place.partition(":")
            parameter = parameters[int(number)]
            if name == "step":  # fused kernels count on the device, others on the CPU
                kept = tensor.to(parameter.device if optimizer.defaults.get("fused") else "cpu")
            else:  # fused kernels ignore strides, so a moment must lie in memory as its parameter does
                kept = torch.empty_like(parameter).copy_(tensor)
            optimizer.state[parameter][name] = kept


def load(folder: Path, entry: ModelEntry | None = None) -> StepState:
    """Read a step that is not finished; `entry` is the model's, where it is known.

    Raises:
        RunError: a file is missing or damaged, or of another format.
    """
    try:
        told = msgspec.json.decode(read_plain(folder / "state.json"), type=dict[str, Any])
        if told["format"] != FORMAT:
            raise RunError(other_format(folder / "state.json", told["format"]))
        hints = get_type_hints(StepState)
        names = [name for name in _told() if name in told or name not in LATER]
        values = {name: msgspec.convert(told[name], hints[name]) for name in names}
        files = (folder / "optimizer.safetensors", folder / "right.safetensors")
        optimizer, right = (owned(file) if file.exists() else {} for file in files)
    except (OSError, SafetensorError, msgspec.MsgspecError, KeyError) as error:
        raise RunError(f"{folder} cannot be read: {error}. Delete it; the step then begins anew.") from error
    return StepState(checkpoint=checkpoints.load(folder, entry), optimizer=optimizer, right=right, **values)


def _told() -> list[str]:
    """Fields that `state.json` holds."""
    return [field.name for field in fields(StepState) if field.name not in ("checkpoint", "optimizer", "right")]


def _parameters(optimizer: torch.optim.Optimizer) -> list[torch.nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
