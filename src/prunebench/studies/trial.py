"""A trial: a few batches of what a study is made of, on this machine, to tell how long it takes before anything ran.

Of every model, data and method a few batches are trained and evaluated with fresh weights, unpruned and as small as
they get; of every criterion a step is pruned once. In a process of its own, which keeps nothing.
"""

from __future__ import annotations

import logging
import multiprocessing
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import pairwise
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from prunebench.config import Settings
from prunebench.data.dataset import no_downloads
from prunebench.errors import Stopped
from prunebench.experiment.elsewhere import anywhere
from prunebench.experiment.experiment import Experiment
from prunebench.experiment.resolve import resolve
from prunebench.runs.digests import nothing_kept

if TYPE_CHECKING:
    from prunebench.experiment.setup import Setup
    from prunebench.models.checkpoint import Checkpoint

SAME = (
    *("model", "dataset", "data_dir", "weights", "model_arg", "image_size", "sequence_length", "batch_size"),
    *("finetune_batch_size", "method", "limit_train", "limit_test", "train_eval", "memory_format", "dtype"),
    *(
        "sparsity",
        "compression",
        "macs",
        "fraction",
        "iterations",
        "optimizer",
        "finetune_optimizer",
        "threads",
        "augment",
    ),
)
"""Settings that two runs must share for one to tell how long the batches of the other take."""

BATCHES = 6
"""Batches that are timed, at most, and at least two; the first is not counted."""

SECONDS = 2.0
"""After which no further batch is timed."""

LONGEST = 90.0
"""Seconds after which nothing more is tried: what is left takes as long as what was."""


@dataclass(frozen=True)
class Tried:
    """Seconds: of an epoch of training, of a step, and of a run besides, its data and its proof."""

    epoch: float
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

    def tried(self, pruning: float) -> Tried:
        """What follows for a run whose criterion takes so many seconds in a step."""
        settings, targets = self.setup.experiment.settings, self.setup.task.targets
        train = len(targets.some("train"))
        evaluated = len(targets.some("test")) + len(targets.some("train", settings.train_eval))
        recipe = self.setup.retraining()
        tuned = recipe.epochs * -(-train // recipe.batch_size) * self.tuning
        return Tried(
            epoch=-(-train // settings.batch_size) * self.training,
            step=pruning + 2 * evaluated * self.sample + tuned,
            run=self.run + evaluated * self.sample,
        )


def try_out(planned: Sequence[Experiment]) -> dict[str, Tried]:
    """What a trial tells of planned runs, by their key; nothing of those that cannot be tried, whatever the reason."""
    kinds = {_kind(each): each for each in planned}
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, [anywhere(each) for each in kinds.values()]), daemon=True)
    process.start()
    theirs.close()
    try:
        found: list[Tried | None] = mine.recv()
    except EOFError:  # it has died
        found = [None] * len(kinds)
    finally:
        mine.close()
        process.join()
    told = dict(zip(kinds, found, strict=True))
    return {each.run.key: tried for each in planned if (tried := told[_kind(each)]) is not None}


def _kind(experiment: Experiment) -> tuple[str, ...]:
    """The same for runs whose steps take as long."""
    names = (*SAME, "criterion", "scope", "calibration", "finetune_epochs", "finetune_updates", "retrain")
    return tuple(repr(getattr(experiment.settings, name)) for name in names)


def _work(pipe: Any, configs: Sequence[Settings]) -> None:
    """Try every config, and send what was found through the pipe."""
    logging.getLogger("prunebench").setLevel(logging.CRITICAL)
    with no_downloads(), nothing_kept():
        pipe.send(list(_try_all(configs)))


def _try_all(configs: Sequence[Settings]) -> Iterable[Tried | None]:
    """Of each config what was tried; after LONGEST seconds as of those that were."""
    began = time.monotonic()
    batches: dict[tuple[object, ...], Batches | None] = {}
    pruning: dict[tuple[object, ...], list[float]] = {}
    for config in configs:
        same = tuple(repr(getattr(config, name)) for name in SAME)
        try:
            experiment = resolve(config)
            if same not in batches:
                batches[same] = None
                batches[same] = _timed(experiment)
            if (of := batches[same]) is None:
                yield None
                continue
            known = pruning.setdefault(same, [])
            if not known or time.monotonic() - began < LONGEST:
                known.append(_pruned(replace(of.setup, experiment=experiment)))
                yield of.tried(known[-1])
            else:
                yield of.tried(fmean(known))
        except Exception:  # whatever it is, the study will tell of it
            yield None


def _timed(experiment: Experiment) -> Batches:
    """The seconds of batches, of a model with fresh weights."""
    from prunebench.experiment.setup import set_up

    set_up(experiment)  # what is imported, or read for the first time
    began = time.perf_counter()
    fresh = replace(experiment)
    setup = set_up(fresh)
    setup.summary(pruned=True)
    state, settings = setup.fresh(), experiment.settings
    if experiment.method.removes:
        experiment.method.prune(state.model, state.masks, setup.sketch(1))
    run = time.perf_counter() - began
    state = setup.fresh()
    setup.place(state.model)
    sample = _evaluated(setup, state)
    training = _batch(setup, state, 0)
    tuning = [_batch(setup, state, 1)]
    if experiment.method.removes and not experiment.method.masks:
        small = setup.fresh()
        setup.place(small.model)
        request = replace(setup.sketch(settings.iterations), leap=settings.iterations)
        small = replace(small, masks=experiment.method.prune(small.model, small.masks, request).masks)
        tuning.append(_batch(setup, small, 1))
    return Batches(training, fmean(tuning), sample, run, setup)


def _batch(setup: Setup, state: Checkpoint, step: int) -> float:
    """Seconds of a batch of training (step 0) or fine-tuning."""
    from prunebench.training.state import StepState

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
