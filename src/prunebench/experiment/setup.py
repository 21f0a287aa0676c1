"""Bench: what every step of one run needs, made once: the device, the data, the request, the recipes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from functools import cached_property
from typing import Any

import torch
from torch import nn

from prunebench.config import RunConfig
from prunebench.data.dataset import Part, stratified
from prunebench.data.task import Task
from prunebench.experiment.data import make_task
from prunebench.experiment.weights import Start, open_start, start_of
from prunebench.models.checkpoint import Checkpoint
from prunebench.models.collapse import collapsed
from prunebench.models.inputs import check_forward
from prunebench.pruning.registry import Method, Request, criteria, methods
from prunebench.records import Accuracy, Environment
from prunebench.registry import reference
from prunebench.seeding import seed_all, seed_of
from prunebench.training import device as machine
from prunebench.training.fit import Position, Progress, Recipe, Stop, evaluate, fit
from prunebench.training.progress import Journal


class Bench:
    """What every step of one run needs: the resolved config, the device, and lazily the data."""

    def __init__(self, config: RunConfig, progress: Progress | None, stop: Stop | None = None) -> None:
        self.config: Any = config  # resolved: no field that is used is None
        self.progress = progress
        self.stop = stop
        self.device = machine.use(config)

    @property
    def environment(self) -> Environment:
        """The machine, the versions and the seed that the run is computed with."""
        return machine.environment(self.device, self.config.seed)

    @cached_property
    def start(self) -> Start:
        """Where the dense model starts from."""
        return open_start(self.config)

    def start_from(self, state: Checkpoint) -> None:
        """Start from a model instead, with its tokenizer and normalisation; what was prepared for another goes."""
        self.start = start_of(state)
        self.__dict__.pop("task", None)

    @cached_property
    def task(self) -> Task:
        """Train and test data."""
        return make_task(self.config, tokenizer=self.start.tokenizer, statistics=self.start.statistics)

    def fresh(self) -> Checkpoint:
        """The model before any training, initialised by the seed.

        Raises:
            ModelError: it does not fit the data.
        """
        seed_all(self.config.seed, "init")
        state = self.start.make(self.task)
        check_forward(state.model, self.task.inputs, self.task.classes, reference(self.config.model))
        return state

    @property
    def method(self) -> Method:
        """The pruning method."""
        return methods.get(self.config.method)

    def place(self, model: nn.Module) -> None:
        """Move a model to the device, in the memory layout of the config."""
        layout = torch.channels_last if self.config.memory_format == "channels_last" else torch.contiguous_format
        model.to(self.device).to(memory_format=layout)

    def request(self, step: int, sizes: Mapping[str, int] | None = None) -> Request:
        """What to prune in a step; `sizes` are the units of the unpruned model's layers, by name."""
        config = self.config
        return Request(
            fraction=config.fraction,
            criterion=criteria.get(config.criterion).score,
            inputs=self.task.inputs,
            seed=seed_of(config.seed, "prune", step),
            task=self.task,
            scope=config.scope,
            targets=config.targets,
            include=config.include,
            exclude=config.exclude,
            step=step,
            round_to=config.round_to,
            sizes=sizes or {},
        )

    def accuracy(self, state: Checkpoint) -> tuple[Accuracy, Accuracy]:
        """Test accuracy, and training accuracy on all or a fixed stratified subset of the training data."""
        labels = self.task.labels("train").numpy()
        some = torch.from_numpy(stratified(labels, self.config.train_eval))
        return self._accuracy(state, "test", self._all("test")), self._accuracy(state, "train", some)

    def validation(self, state: Checkpoint) -> Accuracy | None:
        """Accuracy on the held-out training data; None where nothing is held out."""
        return self._accuracy(state, "validation", self._all("validation")) if self.config.validation else None

    def _all(self, part: Part) -> torch.Tensor:
        return torch.arange(len(self.task.labels(part)))

    def _accuracy(self, state: Checkpoint, part: Part, samples: torch.Tensor) -> Accuracy:
        self.place(state.model)
        with machine.memory_for(self.config.batch_size, "--batch-size"):
            return evaluate(
                state.model,
                self.task,
                part,
                samples,
                batch_size=self.config.batch_size,
                device=self.device,
                dtype=self.config.dtype,
                progress=self.progress,
                stop=self.stop,
            )

    def fit(
        self, state: Checkpoint, recipe: Recipe, phase: str, step: int, journal: Journal | None = None
    ) -> float | None:
        """Train the model of `state` in place; returns the loss of the last epoch, None where there was none."""
        self.place(state.model)
        option = "--batch-size" if phase == "train" else "--finetune-batch-size"
        with machine.memory_for(recipe.batch_size, option):
            return fit(
                state.model,
                self.task,
                recipe,
                Position(self.config.seed, phase, step),
                masks=state.masks,
                device=self.device,
                progress=self.progress,
                journal=journal,
                stop=self.stop,
            )

    def collapsed(self, state: Checkpoint) -> dict[str, str]:
        """Layers that no longer tell samples of the test data apart, and how."""
        self.place(state.model)
        count = len(self.task.labels("test"))
        some = torch.linspace(0, count - 1, min(count, 32)).long()
        with machine.memory_for(len(some), "--batch-size"):
            inputs, _ = next(self.task.batches("test", [some], self.device))
            return collapsed(state.model, inputs)

    def recipe(self) -> Recipe:
        """How the dense model is trained."""
        return Recipe(**{field.name: getattr(self.config, field.name) for field in fields(Recipe)})

    def finetuning(self) -> Recipe:
        """How a pruned model is fine-tuned: all layers, by the fields that begin with `finetune_`."""
        c = self.config
        return replace(
            self.recipe(),
            epochs=c.finetune_epochs,
            batch_size=c.finetune_batch_size,
            optimizer=c.finetune_optimizer,
            lr=c.finetune_lr,
            schedule=c.finetune_schedule,
            freeze=False,
        )
