"""fit and evaluate: plain functions over a model and a task."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import torch
from torch import nn

from prunebench.data.dataset import Part
from prunebench.data.task import Objective, Task
from prunebench.errors import ModelError, Stopped
from prunebench.models.input_spec import output_of
from prunebench.models.wide import widest
from prunebench.records import Scores, Seconds
from prunebench.seeding import order, seed_all
from prunebench.training.device import HALF
from prunebench.training.distributed import ALONE, Group
from prunebench.training.freezing import only, only_classifier, set_mode
from prunebench.training.grouping import grouped
from prunebench.training.masking import Masking
from prunebench.training.optimizers import Recipe, make_optimizer, set_lr
from prunebench.training.policies import Loss
from prunebench.training.scaling import Scaling
from prunebench.training.state import StepState


@dataclass(frozen=True)
class Position:
    """Where in a run something random happens: the seed of the run, the phase, and the step."""

    seed: int
    phase: str
    step: int


@dataclass(frozen=True)
class Tick:
    """Progress of a fit or an evaluation: zero-based epoch and finished batches of it; loss (of a fit) and the main
    metric of the epoch so far, whose name is empty where there is none yet; learning rate (of a fit)."""

    phase: str
    step: int
    epoch: int
    epochs: int
    batch: int
    batches: int
    loss: float | None
    metric: str
    score: float
    lr: float | None = None


Progress = Callable[[Tick], None]

Stop = Callable[[], bool]
"""Asked after every batch: whether to stop."""

Watch = Callable[[torch.Tensor, torch.Tensor], None]
"""Shown the output of a batch that is evaluated, and what it should be."""

MARGIN = 1e-6
"""What PyTorch adds to a norm that it divides by."""

SECONDS_BETWEEN_TICKS = 0.2
"""Reading the loss waits for the device, so it is not read after every batch."""


def fit(
    state: StepState,
    task: Task,
    recipe: Recipe,
    position: Position,
    *,
    device: torch.device,
    loss_of: Loss | None = None,
    trains: Callable[[str], bool] | None = None,
    save: Callable[[StepState], None] = lambda state: None,
    every: float = math.inf,
    progress: Progress = lambda tick: None,
    stop: Stop = lambda: False,
    group: Group = ALONE,
) -> StepState:
    """Train `state.checkpoint.model` in place from where it stands, and return where it stands then.

    Masked weights stay at zero, and their gradients do not count where gradients are clipped. The result is that of
    the last epoch. The state is saved after a batch where that was `every` seconds ago, when `stop` asks to stop, and
    after the last epoch, without the optimizer; never twice. `loss_of` is trained in the place of the task's loss; of
    parameters those alone are trained whose names `trains` says. Of a `group` of processes each takes its part of every
    batch, and all come to the same (see `distributed`).

    Raises:
        ModelError: the loss is not a number, or infinite; or a batch is too small for batch norm.
        Stopped: `stop` asked for it.
    """
    if state.epoch == recipe.epochs:
        return state
    clock = Clock(state.seconds, every)
    model = state.checkpoint.model.to(device)
    with only_classifier(model, recipe.freeze) as frozen, only(model, trains), group.parallel(model) as answering:
        optimizer = make_optimizer(model, recipe)
        state.restore(optimizer)
        masking = Masking(model, state.checkpoint.masks, optimizer, always=recipe.clip_norm > 0)
        scaling = Scaling(device, state.scaling, enabled=recipe.dtype == "fp16")
        count = len(task.targets.some("train"))
        while state.epoch < recipe.epochs:
            set_mode(model, frozen)
            epoch, told = state.epoch, 0.0
            samples = chunks(order(count, position.seed, position.phase, position.step, epoch), recipe.batch_size)
            batches = len(samples)
            mine = [group.part(each) for each in samples[state.batch :]]
            stream = task.batches("train", mine, device, augment=recipe.augment, training=True)
            tally = Tally(device, state, task.objective, group)
            for batch in range(state.batch, batches):
                seed_all(position.seed, position.phase, position.step, epoch, batch, *group.place)
                inputs, target = next(stream)
                set_lr(optimizer, recipe, recipe.before + epoch, recipe.done(epoch, batch, batches))
                with autocast(device, recipe.dtype):
                    output = forward(answering, inputs)
                    loss = task.objective.loss(output, target) if loss_of is None else loss_of(inputs, output, target)
                share = group.share(task, samples[batch])
                scaled = loss if share == 1 else share * loss
                _update(model, scaled, optimizer, masking, scaling, clip_norm=recipe.clip_norm)
                tally.add(loss, output, target, len(samples[batch]))
                last = batch + 1 == batches
                if last or time.monotonic() - told > SECONDS_BETWEEN_TICKS:
                    told = time.monotonic()
                    check_loss(tally.loss, position, epoch)
                    place = (position.phase, position.step, epoch, recipe.epochs, batch + 1, batches)
                    progress(Tick(*place, tally.loss, tally.metric, tally.score, optimizer.param_groups[0]["lr"]))
                stopping = stop()
                if not last and clock.due(stopping):
                    check_loss(tally.loss, position, epoch)
                    here = tally.in_state(replace(state, batch=batch + 1, scaling=scaling.told()))
                    save(clock.read(here).with_optimizer(optimizer))
                if stopping and not last:
                    raise Stopped(f"Stopped in epoch {epoch + 1} of {recipe.epochs}, after batch {batch + 1}.")
            state = clock.read(ended(replace(state, scaling=scaling.told()), tally.loss))
            ends = state.epoch == recipe.epochs
            state = scaling.noted(state) if ends else state
            if clock.due(stopping or ends):
                save(state if ends else state.with_optimizer(optimizer))
            if stopping:
                raise Stopped(f"Stopped after epoch {epoch + 1} of {recipe.epochs}.")
        group.check_alike(model)
        optimizer.zero_grad(set_to_none=True)  # gradients as large as the model are not needed for pruning it
    return state


def ended(state: StepState, loss: float) -> StepState:
    """Where a fit stands at the end of an epoch with this mean loss."""
    return replace(state, epoch=state.epoch + 1, batch=0, loss=0.0, score=0.0, samples=0, mean_loss=loss, optimizer={})


class Clock:
    """How long a fit has taken, with what the step had taken before, and whether it is time to save again."""

    def __init__(self, before: Seconds, every: float) -> None:
        self._before, self._every = before, every
        self._begun = self._saved = time.monotonic()

    def due(self, anyhow: bool) -> bool:
        """Whether to save now, and count from now on: anyhow, or where the last time is as long ago as asked for."""
        now = time.monotonic()
        if anyhow or now - self._saved >= self._every:
            self._saved = now
            return True
        return False

    def read(self, state: StepState) -> StepState:
        """A state with the seconds until now."""
        finetune = self._before.finetune + time.monotonic() - self._begun
        return replace(state, seconds=msgspec.structs.replace(self._before, finetune=finetune))


def check_loss(loss: float, position: Position, epoch: int) -> None:
    """Raise ModelError where the loss is not a number or infinite, with what to try."""
    if not math.isfinite(loss):
        raise ModelError(
            f"The loss became {loss} in epoch {epoch + 1} of {position.phase}, step {position.step}. Finished steps "
            f"are kept. Try a lower learning rate, --clip-norm 1, or --dtype fp32."
        )


def _update(
    model: nn.Module,
    loss: torch.Tensor,
    optimizer: torch.optim.Optimizer,
    masking: Masking,
    scaling: Scaling,
    *,
    clip_norm: float,
) -> None:
    optimizer.zero_grad(set_to_none=True)
    scaling.scaled(loss).backward()
    masking.before_step()
    if clip_norm:
        scaling.unscale(optimizer)
        clip(model, clip_norm)
    scaling.step(optimizer)


def clip(model: nn.Module, most: float) -> None:
    """Scale all gradients so that their norm is `most`, where it is larger.

    On a CPU they are left alone where it is not. `clip_grad_norm_` multiplies them by one, so as not to wait for a GPU.
    """
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    norm = nn.utils.get_total_norm(gradients)
    if norm.device.type != "cpu" or not norm + MARGIN <= most:  # which a NaN is not
        nn.utils.clip_grads_with_norm_(model.parameters(), most, norm)


def forward(model: nn.Module, inputs: Any) -> torch.Tensor:
    """What a model answers to a batch that its norms learn from.

    Raises:
        ModelError: it is of one sample, and they cannot.
    """
    try:
        return output_of(model, inputs)
    except ValueError as error:
        if "more than 1 value per channel" in str(error):
            raise ModelError("Batch norm cannot train on one sample: use a larger --batch-size or more data.") from None
        raise


class Tally:
    """Sums of the loss and of the main metric over an epoch, of all processes of a group, from a state on, kept on the
    device; reading waits."""

    def __init__(self, device: torch.device, begun: StepState, objective: Objective, group: Group = ALONE) -> None:
        self._loss = torch.tensor(begun.loss, device=device)
        self._score = torch.tensor(begun.score, device=device)
        self._samples = begun.samples
        self._objective, self._group = objective, group
        self.metric = objective.metrics[0]

    def add(self, loss: torch.Tensor, output: torch.Tensor, target: torch.Tensor, samples: int) -> None:
        """Count a batch of so many samples, given the mean loss of this process's part of it."""
        found = loss.detach() * len(target), self._objective.count(output.detach(), target, [self.metric])[self.metric]
        if self._group.size > 1:
            both = self._group.summed(torch.stack([each.to(self._loss.dtype) for each in found]))
            found = both[0], both[1]
        self._loss += found[0]
        self._score += found[1]
        self._samples += samples

    def in_state(self, state: StepState) -> StepState:
        """A state with the sums."""
        return replace(state, loss=float(self._loss), score=float(self._score), samples=self._samples)

    @property
    def loss(self) -> float:
        """Mean loss per sample."""
        return float(self._loss) / self._samples

    @property
    def score(self) -> float:
        """The main metric so far."""
        return float(self._score) / self._samples


def evaluate(
    model: nn.Module,
    task: Task,
    part: Part,
    samples: torch.Tensor,
    *,
    batch_size: int,
    device: torch.device,
    dtype: str,
    progress: Progress = lambda tick: None,
    stop: Stop = lambda: False,
    watch: Watch | None = None,
    group: Group = ALONE,
) -> Scores:
    """What the task counts of the given samples, int64 indices of shape (samples,); `watch` is shown every batch.

    Sums are those of batches of `batch_size`, of which several are computed at once where their inputs are small. Of a
    `group` of processes each takes some of the batches, and `watch` sees those; what is counted is that of all.

    Raises:
        Stopped: `stop` asked for it.
    """
    model.to(device).eval()
    sums = {name: torch.zeros((), device=device, dtype=widest(device)) for name in task.objective.metrics}
    main = task.objective.metrics[0]
    mine = torch.cat([samples[:0], *group.some(samples.split(batch_size))])
    whole, told, seen = -(-len(mine) // batch_size), time.monotonic(), 0
    counts: list[Mapping[str, torch.Tensor]] = []
    stream = grouped(model, task, part, mine, size=batch_size, device=device)
    with torch.inference_mode(), autocast(device, dtype), closing(stream):
        for inputs, target in stream:
            output = output_of(model, inputs)
            seen += len(target)
            for part_of_it, wanted in zip(output.split(batch_size), target.split(batch_size), strict=True):
                found = task.objective.count(part_of_it, wanted)
                for name, counted in found.items():
                    sums[name] += counted
                if group.size > 1:
                    counts.append(found)
            if watch is not None:
                watch(output, target)
            if time.monotonic() - told > SECONDS_BETWEEN_TICKS:
                told = time.monotonic()
                score = float(sums[main]) / seen
                progress(Tick(f"evaluate {part}", 0, 0, 1, -(-seen // batch_size), whole, None, main, score))
            if stop():
                raise Stopped("Stopped while the model was evaluated.")
    if group.size > 1:
        sums = dict(zip(sums, _in_order(group, counts, list(sums)), strict=True))
    return Scores.of(**{name: (float(total), len(samples)) for name, total in sums.items()})


def _in_order(
    group: Group, counts: Sequence[Mapping[str, torch.Tensor]], names: Sequence[str]
) -> Iterator[torch.Tensor]:
    """The sum of every metric over the batches of all processes, added one after the other as one process adds them."""
    rows = [torch.stack([each[name].to("cpu", torch.float64) for name in names]) for each in counts]
    mine = torch.stack(rows) if rows else torch.zeros((0, len(names)), dtype=torch.float64)
    sums = torch.zeros(len(names), dtype=torch.float64)
    for row in torch.cat(group.gathered(mine)):
        sums += row
    yield from sums


def chunks(samples: torch.Tensor, size: int) -> list[torch.Tensor]:
    """Split into batches; a last batch of one sample joins the one before, since batch norm cannot train on it."""
    parts = list(samples.split(size))
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts


def autocast(device: torch.device, dtype: str) -> torch.autocast:
    """Autocast to 16 bits, or nothing for fp32 and tf32."""
    return torch.autocast(device.type, dtype=HALF.get(dtype, torch.bfloat16), enabled=dtype in HALF)
