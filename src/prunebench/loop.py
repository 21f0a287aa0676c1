"""The loop: train, then prune and fine-tune again and again, yielding a record per step.

`train` and `prune` keep what they compute in a Run if they are given one: finished steps are read from it, and
each new step is committed before it is yielded. Without a run they write nothing.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import msgspec

from prunebench import checkpoint, machine
from prunebench.bench import Bench
from prunebench.checkpoint import Checkpoint
from prunebench.config import RunConfig
from prunebench.costs import macs, masked, params
from prunebench.records import Accuracy, Seconds, StepRecord
from prunebench.registry import reference
from prunebench.resolve import resolve
from prunebench.runs import dense_run
from prunebench.sizes import layer_records, prunable_weights, unit_count
from prunebench.store import Run
from prunebench.training import Progress
from prunebench.weights import start_of

log = logging.getLogger(__name__)


def train(config: RunConfig, run: Run | None = None, progress: Progress | None = None) -> StepRecord:
    """Train the dense model and return its record, step 0.

    Raises:
        PrunebenchError: settings, data, weights or device do not work; the message says what to do.
    """
    bench = Bench(resolve(config), progress)
    if run is not None and run.steps():
        return run.record(0)
    return _train(bench, run)[1]


def prune(config: RunConfig, run: Run | None = None, progress: Progress | None = None) -> Iterator[StepRecord]:
    """Prune and fine-tune, `iterations` times, starting from the trained model; yield the record of every step.

    Step 0 is the dense model, trained first if it is not there. With a run, the dense model is looked for, and
    kept, in its own run in the same folder.

    Raises:
        PrunebenchError: settings, data, weights or device do not work; the message says what to do.
    """
    bench = Bench(resolve(config), progress)
    current: Checkpoint | None = None
    first: StepRecord | None = None
    for step in range(bench.config.iterations + 1):
        if run is not None and step in run.steps():
            record, current = run.record(step), None
        elif first is None:
            _rehearse(bench)
            current, record = _unpruned(bench, run)
        else:
            if run is not None and current is None:
                current = checkpoint.load(run.step_folder(step - 1), bench.config.model)
            assert current is not None
            current, record = _iteration(bench, run, current, first, step)
        first = first or record
        yield record


def reevaluate(run: Run, step: int, config: RunConfig) -> tuple[Accuracy, Accuracy]:
    """Compute anew, from the files of a finished step, its accuracy on test and training data.

    Args:
        run: a dense or pruning run.
        step: one of its finished steps.
        config: the run's config; where the data is, device and threads may differ.
    """
    run.record(step)
    bench = Bench(resolve(config), None)
    state = checkpoint.load(run.step_folder(step), bench.config.model)
    bench.start = start_of(state)
    return bench.accuracy(state)


def _rehearse(bench: Bench) -> None:
    """Prune fresh weights once, so that what cannot work is told before the training and not after it."""
    state = bench.fresh()
    bench.method.prune(state.model, state.masks, bench.request(1))


def _unpruned(bench: Bench, run: Run | None) -> tuple[Checkpoint, StepRecord]:
    """Step 0: the trained model, from its run if it is there, else trained now."""
    dense = run.sibling(dense_run(bench.config).info) if run is not None else None
    if dense is not None and dense.steps():
        log.info("starting from the trained model of run %s", dense.info.key)
        state, trained = checkpoint.load(dense.step_folder(0), bench.config.model), dense.record(0)
    else:
        if dense is not None:
            log.info(
                "there is no trained model of these settings yet: training it first, as run %s",
                dense.info.key,
            )
        state, trained = _train(bench, dense)
    accuracies = (trained.test_before, trained.train_before, trained.test_after, trained.train_after)
    result = Result(accuracies, trained.loss, trained.seconds)
    return state, _commit(bench, run, state, _record(bench, state, result, step=0))


def _train(bench: Bench, run: Run | None) -> tuple[Checkpoint, StepRecord]:
    state = bench.fresh()
    started = time.perf_counter()
    loss = bench.fit(state, bench.recipe(), "train", 0)
    trained = time.perf_counter()
    test, training = bench.accuracy(state)
    seconds = Seconds(finetune=trained - started, evaluate_after=time.perf_counter() - trained)
    record = _record(bench, state, Result((test, training, test, training), loss, seconds), step=None)
    return state, _commit(bench, run, state, record)


def _iteration(
    bench: Bench, run: Run | None, state: Checkpoint, first: StepRecord, step: int
) -> tuple[Checkpoint, StepRecord]:
    """Prune, evaluate, fine-tune, evaluate."""
    bench.place(state.model)
    masks = {name: mask.to(bench.device) for name, mask in state.masks.items()}
    request, recipe = bench.request(step), bench.finetuning()
    clock = [time.perf_counter()]
    before = bench.method.count(state.model, masks, request)
    pruned = bench.method.prune(state.model, masks, request)
    state = replace(state, masks=pruned.masks)
    clock.append(time.perf_counter())
    evaluated = bench.accuracy(state)
    clock.append(time.perf_counter())
    loss = bench.fit(state, recipe, "finetune", step) if recipe.epochs else None
    clock.append(time.perf_counter())
    accuracies = evaluated + bench.accuracy(state)
    clock.append(time.perf_counter())
    seconds = Seconds(*(end - start for start, end in itertools.pairwise(clock)))
    result = Result(accuracies, loss, seconds, pruned.notes)
    record = _record(bench, state, result, step=step, first=first, before=before)
    return state, _commit(bench, run, state, record)


@dataclass(frozen=True)
class Result:
    """What a step computed: accuracies (test and train, before and after fine-tuning), loss, seconds, remarks."""

    accuracies: tuple[Accuracy, Accuracy, Accuracy, Accuracy]
    loss: float | None
    seconds: Seconds
    notes: tuple[str, ...] = ()


def _record(
    bench: Bench,
    state: Checkpoint,
    result: Result,
    *,
    step: int | None,
    first: StepRecord | None = None,
    before: dict[str, int] | None = None,
) -> StepRecord:
    """The record of a step; `first` is that of step 0, which knows the original sizes.

    With `step` None it is the record of a training run: no method has been chosen, and nothing removed.
    """
    config, method = bench.config, bench.method
    dense = step is None
    left = {} if dense else method.count(state.model, state.masks, bench.request(step or 0))
    originals = {unit.kind: unit.original for unit in first.units} if first else left
    layers = layer_records(state.model, state.masks, first.layers if first else ())
    names = [f"{layer.name}.weight" for layer in layers] if dense else method.prunable(state.model)
    original, filters, kept = prunable_weights(names, layers)
    test_before, train_before, test_after, train_after = result.accuracies
    return StepRecord(
        run="",
        model=reference(config.model),
        dataset=reference(config.dataset),
        method="dense" if dense else config.method,
        criterion="none" if dense else reference(config.criterion),
        seed=config.seed,
        step=step or 0,
        fraction=0.0 if dense else config.fraction,
        nominal_left=1.0 if dense else (1 - config.fraction) ** (step or 0),
        units=tuple(unit_count(kind, originals[kind], (before or left)[kind], left[kind]) for kind in left),
        prunable_weights=original,
        prunable_weights_masked=filters,
        prunable_weights_left=kept,
        params=params(state.model),
        nonzero_params=params(state.model) - masked(state.masks),
        macs=macs(state.model, bench.task.inputs),
        test_before=test_before,
        train_before=train_before,
        test_after=test_after,
        train_after=train_after,
        loss=result.loss,
        seconds=result.seconds,
        layers=layers,
        notes=result.notes,
    )


def _commit(bench: Bench, run: Run | None, state: Checkpoint, record: StepRecord) -> StepRecord:
    """Keep a step in the run, if there is one; the record then names it."""
    if run is None:
        return record
    record = msgspec.structs.replace(record, run=run.info.key)
    run.commit(
        record, machine.environment(bench.device, bench.config.seed), lambda folder: checkpoint.save(state, folder)
    )
    return record
