"""Pace: how long the batches and the steps of runs take on this machine, by a few that are computed with fresh weights.

Of every model, data and method a few batches are trained and evaluated, unpruned and as small as they get; of every
criterion a step is pruned once. Nothing is kept.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import pairwise
from statistics import fmean, median

from prunebench.config import Settings, deciding
from prunebench.errors import Stopped
from prunebench.experiment.experiment import Experiment
from prunebench.experiment.resolve import resolve
from prunebench.experiment.setup import Setup, set_up
from prunebench.models.checkpoint import Checkpoint
from prunebench.models.undisturbed import undisturbed
from prunebench.training.state import StepState

OF_CRITERION = ("seed", "criterion", "scope", "floor", "calibration")
"""Settings that decide nothing of how long a batch takes."""

OF_LENGTH = ("epochs", "finetune_epochs", "finetune_updates")
"""Settings that decide nothing of it, but whether there is one."""

BATCHES = 6
"""Batches that are timed, at most, and at least two; the first is not counted."""

SECONDS = 2.0
"""After which no further batch is timed."""

LONGEST = 90.0
"""Seconds after which nothing more is tried: what is left takes as long as what was."""


@dataclass(frozen=True)
class Pace:
    """Seconds: of an epoch of training, of scoring a model, of a step with all that is in it, and of a run besides: its
    data and a rehearsal."""

    epoch: float
    scoring: float
    step: float
    run: float


@dataclass(frozen=True)
class Batches:
    """Seconds of batches of one kind: in training, in fine-tuning (a mean over the steps), of a sample's evaluation,
    and of a run besides; how many of each there are; and what is pruned."""

    training: float
    tuning: float
    sample: float
    run: float
    setup: Setup = field(repr=False)

    def pace(self, pruning: float) -> Pace:
        """What follows for a run whose criterion takes so many seconds in a step."""
        settings, targets = self.setup.experiment.settings, self.setup.task.targets
        train = len(targets.some("train"))
        evaluated = len(targets.some("test")) + len(targets.some("train", settings.train_eval))
        recipe = self.setup.retraining()
        tuned = recipe.epochs * -(-train // recipe.batch_size) * self.tuning
        scoring = evaluated * self.sample
        epoch = -(-train // settings.batch_size) * self.training
        return Pace(epoch=epoch, scoring=scoring, step=pruning + 2 * scoring + tuned, run=self.run)


def _same(config: Settings) -> tuple[str, ...]:
    """Equal for runs whose batches take as long."""
    names = [*deciding("training", "pruning"), "iterations", "data_dir", "threads", "device"]
    asked = {name: getattr(config, name) for name in names if name not in OF_CRITERION}
    return tuple(repr(bool(value) if name in OF_LENGTH else value) for name, value in asked.items())


@undisturbed
def paces(configs: Iterable[Settings]) -> Iterator[Pace | None]:
    """Of each config what was tried; after LONGEST seconds as of those that were."""
    began = time.monotonic()
    batches: dict[tuple[str, ...], Batches | None] = {}
    pruning: dict[tuple[str, ...], list[float]] = {}
    for config in configs:
        same = _same(config)
        try:
            experiment = resolve(config)
            if same not in batches:
                batches[same] = None
                batches[same] = _timed(experiment)
            if (of := batches[same]) is None:
                yield None
                continue
            mine = replace(of, setup=replace(of.setup, experiment=experiment))
            known = pruning.setdefault(same, [])
            late = bool(known) and time.monotonic() - began > LONGEST
            known += [] if late else [_pruned(mine.setup)]
            yield mine.pace(fmean(known) if late else known[-1])
        except Exception:  # whatever it is, the study will tell of it
            yield None


def _timed(experiment: Experiment) -> Batches:
    """The seconds of batches, of a model with fresh weights."""
    _prepared(experiment)  # what is imported, read for the first time, or found once per process
    began = time.perf_counter()
    setup = _prepared(replace(experiment))
    run = time.perf_counter() - began
    state = setup.fresh()
    setup.place(state.model)
    settings, sample = experiment.settings, _evaluated(setup, state)
    training = _batch(setup, state, 0)
    tuning = [_batch(setup, state, 1)]
    if experiment.method.removes and not experiment.method.masks:
        small = setup.fresh()
        setup.place(small.model)
        request = replace(setup.sketch(settings.iterations), leap=settings.iterations)
        small = replace(small, masks=experiment.method.prune(small.model, small.masks, request).masks)
        tuning.append(_batch(setup, small, 1))
    return Batches(training, fmean(tuning), sample, run, setup)


def _prepared(experiment: Experiment) -> Setup:
    """What a run does before its first step: data, what everything is taken for, and a rehearsal."""
    setup = set_up(experiment)
    setup.summary(pruned=True)
    if experiment.method.removes:
        state = setup.fresh()
        experiment.method.prune(state.model, state.masks, setup.sketch(1))
    return setup


def _batch(setup: Setup, state: Checkpoint, step: int) -> float:
    """Seconds of a batch of training (step 0) or fine-tuning."""
    times: list[float] = []

    def stop() -> bool:
        times.append(time.perf_counter())
        return len(times) > BATCHES or (len(times) > 2 and times[-1] - times[0] > SECONDS)

    began = time.perf_counter()
    recipe = setup.retraining() if step else setup.recipe()
    if not recipe.epochs:
        return 0.0
    with suppress(Stopped):
        replace(setup, stop=stop).fit(StepState(step, state), recipe=recipe)
    between = [later - before for before, later in pairwise(times)]
    return median(between) if between else time.perf_counter() - began


def _evaluated(setup: Setup, state: Checkpoint) -> float:
    """Seconds of a sample's evaluation."""
    count = min(len(setup.task.targets.some("test")), 2 * setup.experiment.settings.batch_size)
    setup.sampled(state, "test", count)
    began = time.perf_counter()
    setup.sampled(state, "test", count)
    return (time.perf_counter() - began) / count


def _pruned(setup: Setup) -> float:
    """Seconds of the pruning of a step, by the criterion of the experiment; of a control none."""
    method = setup.experiment.method
    if not method.removes:
        return 0.0
    state = setup.fresh()
    setup.place(state.model)
    request = setup.request(1, state)
    began = time.perf_counter()
    method.prune(state.model, state.masks, request)
    return time.perf_counter() - began
