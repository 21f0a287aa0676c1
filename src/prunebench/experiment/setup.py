"""Setup: what every step of one run needs, made once: the device, the data, where training starts from."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, Literal

import torch
from torch import nn

from prunebench.data.dataset import Dataset, Part
from prunebench.data.task import Task
from prunebench.errors import ConfigError
from prunebench.experiment.answers import Answered, Predicting, Watching
from prunebench.experiment.data import make_task
from prunebench.experiment.dataset import used
from prunebench.experiment.experiment import Experiment
from prunebench.experiment.findings import once
from prunebench.experiment.identity import packages
from prunebench.experiment.starts.opening import open_start
from prunebench.experiment.starts.start import Start
from prunebench.experiment.summary import summary_of
from prunebench.experiment.team import ALONE, Evaluation, Fit, Team
from prunebench.experiment.usable import opening
from prunebench.models.checkpoint import Checkpoint, build_alike
from prunebench.models.collapse import collapsed
from prunebench.models.costs import macs
from prunebench.models.input_spec import check_forward, check_training, output_of, outputs, trains_on_one
from prunebench.models.outputs import left_out
from prunebench.pruning.blocks.proof import Blocks, find_removable_blocks
from prunebench.pruning.multiplied import Weights, find_weights
from prunebench.pruning.registry import Request
from prunebench.pruning.requests import request_of
from prunebench.pruning.units.removable import Removable, find_removable
from prunebench.records import Environment, Scores, Summary
from prunebench.registry import reference
from prunebench.runs.processors import computes_bf16
from prunebench.seeding import seed_all, seed_of
from prunebench.training.determinism import check_deterministic, deterministic_or_told
from prunebench.training.device import environment, memory_for, use
from prunebench.training.distributed import Group, smallest_part
from prunebench.training.fit import Position, Progress, Stop, Tick, Watch, evaluate, fit
from prunebench.training.optimizers import Recipe
from prunebench.training.policies import Loss, dense_recipe, tuned_recipe
from prunebench.training.state import StepState

log = logging.getLogger(__name__)

FEW = 4
"""Samples that tell what kind of outputs a model has, and that criteria look at where values do not matter."""


@dataclass(frozen=True)
class Setup:
    """What every step of one run needs."""

    experiment: Experiment
    device: torch.device
    start: Start
    task: Task
    progress: Progress
    stop: Stop
    team: Team = ALONE

    @cached_property
    def dataset(self) -> Dataset:
        """The part of the data that the experiment uses, with what the task says of it."""
        return replace(used(self.experiment.dataset, self.experiment.settings), notes=self.task.notes)

    def summary(self, pruned: bool) -> Summary:
        """What data, weights and model were taken for, and what pruning can reach, where the model is to be pruned."""
        request = self.request(1) if pruned else None
        state, inputs = self.fresh(), self.task.inputs
        about = self.experiment, self.dataset, state.model
        doubt = self.task.objective.doubt(outputs(state.model, inputs, FEW))
        trains = bool(self.recipe().epochs or (pruned and self.retraining().epochs))
        if trains and not self.recipe().epochs:  # else it was looked at when the model was made
            check_training(state.model, inputs, reference(self.experiment.settings.model))
        notes = (*state.notes, *left_out(state.model, inputs.example(2), training=trains))
        return summary_of(*about, inputs=inputs, request=request, notes=notes, doubt=doubt)

    def fresh(self) -> Checkpoint:
        """The model before any training, initialised by the seed.

        Raises:
            ModelError: it does not fit the data.
            ConfigError: it cannot be trained on batches as small as they are.
            DeviceError: it is to be deterministic, and a layer has no such kernel on the device.
        """
        settings = self.experiment.settings
        seed_all(settings.seed, "init")
        state = self.start.make(self.task)
        hint = self.experiment.model.hint(self.task.inputs.size)
        if settings.deterministic:
            some = self.task.batches("train", [self.task.targets.some("train", FEW)], self.device)
            check_deterministic(state.model, *next(some), self.task.objective)
        check_forward(state.model, self.task.inputs, self.task.objective.problem, reference(settings.model), hint)
        self.check_batches(state.model, self.recipe(), "--batch-size")
        return state

    def check_batches(self, model: nn.Module, recipe: Recipe, option: str) -> None:
        """Raise ConfigError where a recipe has batches of which a device gets one sample, and the model cannot be
        trained on one, or none."""
        if recipe.epochs:
            hint = self.experiment.model.hint(self.task.inputs.size)
            check_training(model, self.task.inputs, reference(self.experiment.settings.model), hint)
        samples, devices = len(self.task.targets.some("train")), self.experiment.settings.devices
        if recipe.epochs and devices > 1:
            part = smallest_part(samples, recipe.batch_size, devices)
            if part == 0 or (part == 1 and not recipe.freeze and not trains_on_one(model, self.task.inputs)):
                lacks = "one sample, on which batch norm cannot train" if part else "no sample"
                raise ConfigError(
                    f"--devices {devices}: of a batch of {samples} training samples, {recipe.batch_size} at a time, a "
                    f"device would get {lacks}: give another {option}, or fewer devices."
                )
            return
        alone = min(recipe.batch_size, samples) == 1
        if recipe.epochs and alone and not recipe.freeze and not trains_on_one(model, self.task.inputs):
            raise ConfigError(
                f"Batches are of one sample, on which batch norm cannot train: give a larger {option}, or more data."
            )

    def environment(self, kind: Literal["train", "prune"]) -> Environment:
        """The machine and the versions, among them those of what prepares the data and of what the user's own model,
        loader or criterion (of a run that prunes) is made of."""
        settings = self.experiment.settings
        besides = {*getattr(self.task, "packages", ()), *packages(kind, settings)}
        return environment(self.device, settings.seed, sorted(besides), devices=settings.devices)

    def given(self) -> Scores | None:
        """What the weights score on test data before they are trained; None where none were given, or not all.

        Costs an evaluation, so where nothing is trained it is not asked.
        """
        if self.experiment.origin.kind == "none" or not self.experiment.settings.epochs:
            return None
        state = self.fresh()
        return None if state.fresh else self._scores(state, "test")

    def place(self, model: nn.Module) -> None:
        """Move a model to the device, in the memory layout of the settings."""
        last = self.experiment.settings.memory_format == "channels_last"
        model.to(self.device).to(memory_format=torch.channels_last if last else torch.contiguous_format)

    @cached_property
    def removable(self) -> Removable | None:
        """What can be removed of the model, proved with fresh weights for one step and for all that are asked for; None
        where nothing is to be removed."""
        settings = self.experiment.settings
        if not self.experiment.method.narrows:
            return None
        asked, steps = self._request(), (1,) if settings.until else (1, settings.iterations)
        shares = [self._request(step=step).share(step) for step in steps]
        start, inputs, through = self.fresh(), self.task.inputs, asked.through_norms

        def find() -> Removable:
            build = partial(build_alike, start, self.experiment.model)
            return find_removable(start.model, inputs, shares, through_norms=through, pace=self._pace, build=build)

        alike = () if asked.layer_fractions else tuple(shares)
        return once(start.architecture, ("removable", alike, through), find, start.model) if alike else find()

    @cached_property
    def blocks(self) -> Blocks | None:
        """The blocks of the model that can go, proved with fresh weights; None where none are to go."""
        if not self.experiment.method.shortens:
            return None
        start = self.fresh()
        build = partial(build_alike, start, self.experiment.model)

        def find() -> Blocks:
            return find_removable_blocks(start.model, self.task.inputs, pace=self._pace, build=build)

        return once(start.architecture, "blocks", find, start.model)

    def _pace(self, what: str, done: int, total: int) -> None:
        self.progress(Tick(what, 0, 0, 1, done, total, None, "", 0.0))

    @cached_property
    def weights(self) -> Weights:
        """Which parameters of the model are weights."""
        start = self.fresh()
        return once(start.architecture, "weights", lambda: find_weights(start.model, self.task.inputs), start.model)

    def request(self, step: int, at: Checkpoint | None = None) -> Request:
        """What to prune in a step, of the model as it is at that point, where it is to be looked at."""
        seed = seed_of(self.experiment.settings.seed, "prune", step)
        found = {"removable": self.removable, "weights": self.weights, "blocks": self.blocks}
        finetune = None if at is None else partial(self._finetune, at, step)
        request = self._request(seed=seed, task=self.task, step=step, finetune=finetune, **found)
        return replace(request, original_macs=self.macs) if request.macs_left is not None else request

    def sketch(self, step: int) -> Request:
        """The request of a step where values do not matter: criteria look at next to nothing."""
        return replace(self.request(step), calibration=FEW, finetune=self._backward, rounds=1)

    def _finetune(self, at: Checkpoint, step: int, model: nn.Module) -> None:
        """Fine-tune a model that is like another, in place, for an epoch by the recipe of fine-tuning."""
        recipe = replace(tuned_recipe(self.experiment.settings), epochs=1)
        masks = {name: mask.to(self.device) for name, mask in at.masks.items()}
        with memory_for(recipe.batch_size, "--finetune-batch-size"):
            fit(
                StepState(step, replace(at, model=model, masks=masks)),
                self.task,
                recipe,
                Position(self.experiment.settings.seed, "movement", step),
                device=self.device,
                progress=self.progress,
                stop=self.stop,
            )

    def _backward(self, model: nn.Module) -> None:
        """The gradient of a few samples, and no step."""
        some = self.task.targets.some("train", FEW)
        inputs, targets = next(self.task.batches("train", [some], next(model.parameters()).device))
        self.task.objective.loss(output_of(model, inputs), targets).backward()

    @cached_property
    def macs(self) -> int:
        """Multiply-accumulates of the unpruned model, of one sample."""
        return macs(self.fresh().model, self.task.inputs)

    def _request(self, **more: Any) -> Request:
        experiment = self.experiment
        of_model = (self.task.inputs, experiment.model.keeps)
        more |= {"criterion": experiment.ranking, "rounds": experiment.criterion.rounds}
        more |= {"untrained": not experiment.retrained}
        return request_of(experiment.settings, experiment.method, *of_model, **more)

    def scores(self, state: Checkpoint) -> tuple[Scores, Scores]:
        """What is counted on test data, and on all or a fixed representative subset of the training data."""
        return self._scores(state, "test"), self._scores(state, "train", self.experiment.settings.train_eval)

    def answered(self, state: Checkpoint, *parts: Part, share: float | None = None) -> dict[Part, Answered]:
        """The same sample by sample, of these parts of the data; nothing of `validation` where nothing is held out.

        With a `share`, also by how much figures may change where outputs do by so much (see `Objective.swings`).
        """
        found: dict[Part, Answered] = {}
        there = tuple(part for part in parts if part != "validation" or self.experiment.settings.validation)
        group = self.team.told(partial(Evaluation.of, self.experiment, state, there, share)) if there else ALONE.group
        with self.team.computing():
            for part in there:
                watching = Watching(self.task.objective, share)
                count = self.experiment.settings.train_eval if part == "train" else None
                found[part] = watching.answered(self._scores(state, part, count, watching, group), group)
        return found

    def predicted(self, state: Checkpoint) -> Predicting:
        """What a model answers to each test sample, and what it should."""
        predicting = Predicting(self.task.objective)
        self._scores(state, "test", watch=predicting)
        return predicting

    def sampled(self, state: Checkpoint, part: Part, count: int) -> Scores:
        """What is counted on a fixed representative subset of a part; how far that is, is not told."""
        return replace(self, progress=lambda tick: None)._scores(state, part, count)

    def validation(self, state: Checkpoint) -> Scores | None:
        """What is counted on the held-out training data; None where nothing is held out."""
        return self._scores(state, "validation") if self.experiment.settings.validation else None

    def _scores(
        self,
        state: Checkpoint,
        part: Part,
        count: int | None = None,
        watch: Watch | None = None,
        group: Group = ALONE.group,
    ) -> Scores:
        settings = self.experiment.settings
        self.place(state.model)
        with memory_for(settings.batch_size, "--batch-size"), deterministic_or_told(self.device):
            return evaluate(
                state.model,
                self.task,
                part,
                self.task.targets.some(part, count),
                batch_size=settings.batch_size,
                device=self.device,
                dtype=settings.dtype,
                progress=self.progress,
                stop=self.stop,
                watch=watch,
                group=group,
            )

    def fit(
        self,
        state: StepState,
        save: Callable[[StepState], None] = lambda state: None,
        recipe: Recipe | None = None,
        loss_of: Loss | None = None,
        teacher: Checkpoint | None = None,
    ) -> StepState:
        """Train the model of a step in place, or retrain it in any but the first; returns what it came to.

        Args:
            recipe: another than that of the phase.
            loss_of: what is trained in the place of the task's loss.
            teacher: the dense model, where that asks for it; it is told to other devices.
        """
        settings, step, policy = self.experiment.settings, state.step, self.experiment.policy
        recipe = recipe or (self.retraining(step) if step else self.recipe())
        self.place(state.checkpoint.model)
        if state.epoch == recipe.epochs:
            return state
        group = self.team.told(partial(Fit.of, self.experiment, state, recipe, loss_of is not None, teacher))
        with (
            self.team.computing(),
            memory_for(recipe.batch_size, self.batch_option(step)),
            deterministic_or_told(self.device),
        ):
            return fit(
                state,
                self.task,
                recipe,
                Position(settings.seed, "finetune" if step else "train", step),
                device=self.device,
                loss_of=loss_of,
                trains=policy.trains if step else None,
                save=save,
                every=60 * settings.checkpoint_every,
                progress=self.progress,
                stop=self.stop,
                group=group,
            )

    def collapsed(self, state: Checkpoint) -> dict[str, str]:
        """Layers that no longer tell samples of the test data apart, and how."""
        self.place(state.model)
        count = len(self.task.targets.some("test"))
        some = torch.linspace(0, count - 1, min(count, 32)).long()
        with memory_for(len(some), "--batch-size"):
            inputs, _ = next(self.task.batches("test", [some], self.device))
            return collapsed(state.model, inputs)

    def recipe(self) -> Recipe:
        """How the dense model is trained."""
        return dense_recipe(self.experiment.settings)

    def retraining(self, step: int = 1) -> Recipe:
        """How the model of a step is trained. Where pruning is gradual, that is a part of one training of all steps, by
        one schedule of the learning rate; the optimizer's moments begin anew, as weights have gone."""
        settings = self.experiment.settings
        recipe = self.experiment.policy.recipe_of(settings).over(len(self.task.targets.some("train")))
        if settings.every is None:
            return recipe
        return replace(recipe, before=(step - 1) * recipe.epochs, after=(settings.iterations - step) * recipe.epochs)

    def batch_option(self, step: int) -> str:
        """The option that says how many samples a batch has in which the model of a step is trained."""
        settings = self.experiment.settings
        return "--finetune-batch-size" if step and self.experiment.policy.tunes(settings.epochs) else "--batch-size"

    def samples_seen(self, step: int) -> int:
        """Training samples that a step looks at to train its model, or to compute its statistics; each as often as it
        is seen."""
        policy, there = self.experiment.policy, len(self.task.targets.some("train"))
        looked = min(self.experiment.settings.bn_samples, there) if step and policy.asks("bn_samples") else 0
        return (self.retraining() if step else self.recipe()).epochs * there + looked


def set_up(
    experiment: Experiment,
    start: Start | None = None,
    progress: Progress | None = None,
    stop: Stop | None = None,
    team: Team | None = None,
) -> Setup:
    """The setup of an experiment, its data loaded; `start` is where training starts from, unless as it says.

    What is trained and evaluated, a `team` of processes does together.

    Raises:
        DeviceError: this machine has no such device.
        DataError: the data is missing or malformed.
        ModelError: the weights that it starts from cannot be read, or do not fit.
    """
    device = use(experiment.settings)
    if experiment.settings.dtype == "bf16" and device.type == "cpu" and computes_bf16() is False:
        log.warning("--dtype bf16: this CPU does not compute in bf16, so it takes longer than fp32 here.")
    start = start or open_start(experiment)
    progress, stop = progress or (lambda tick: None), stop or (lambda: False)
    told, opened = start.told, opening(progress, stop)
    task = make_task(experiment, tokenizer=start.tokenizer, statistics=start.statistics, told=told, opened=opened)
    experiment.check_data()
    return Setup(experiment, device, start, task, progress, stop, team or ALONE)
