"""Bench: what every step of one run needs, made once: the device, the data, the request, the recipes."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import cached_property
from typing import Any

import torch
from torch import nn

from prunebench import machine
from prunebench.checkpoint import Checkpoint
from prunebench.config import RunConfig
from prunebench.data import stratified
from prunebench.inputs import check_forward
from prunebench.methods import Method, Request, criteria, methods
from prunebench.records import Accuracy
from prunebench.registry import reference
from prunebench.seeding import seed_all, seed_of
from prunebench.task import Task
from prunebench.tasks.make import make_task
from prunebench.training import Position, Progress, Recipe, evaluate, fit
from prunebench.weights import Start, open_start


class Bench:
    """What every step of one run needs: the resolved config, the device, and lazily the data."""

    def __init__(self, config: RunConfig, progress: Progress | None) -> None:
        self.config: Any = config  # resolved: no field that is used is None
        self.progress = progress
        self.device = machine.use(config)

    @cached_property
    def start(self) -> Start:
        """Where the dense model starts from."""
        return open_start(self.config)

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

    def request(self, step: int) -> Request:
        """What to prune in a step."""
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
        )

    def accuracy(self, state: Checkpoint) -> tuple[Accuracy, Accuracy]:
        """Test accuracy, and training accuracy on all or a fixed stratified subset of the training data."""
        self.place(state.model)
        labels = self.task.labels("train").numpy()
        samples = {
            "test": torch.arange(len(self.task.labels("test"))),
            "train": torch.from_numpy(stratified(labels, self.config.train_eval)),
        }
        test, training = (
            evaluate(
                state.model,
                self.task,
                part,
                samples[part],
                batch_size=self.config.batch_size,
                device=self.device,
                dtype=self.config.dtype,
                progress=self.progress,
            )
            for part in ("test", "train")
        )
        return test, training

    def fit(self, state: Checkpoint, recipe: Recipe, phase: str, step: int) -> float:
        """Train the model of `state` in place; returns the loss of the last epoch."""
        self.place(state.model)
        position = Position(self.config.seed, phase, step)
        return fit(
            state.model,
            self.task,
            recipe,
            position,
            masks=state.masks,
            device=self.device,
            progress=self.progress,
        )

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
