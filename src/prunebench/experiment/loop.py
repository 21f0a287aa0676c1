"""The loop: train, then prune and fine-tune again and again, yielding a record per step.

`train` and `prune` keep what they compute in a Run if they are given one: finished steps are read from it, and
each new step is committed before it is yielded. Without a run they write nothing.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import msgspec

from prunebench.config import RunConfig
from prunebench.experiment.identity import answer, trim
from prunebench.experiment.resolve import dense_run, phases, resolve
from prunebench.experiment.setup import Bench
from prunebench.models import checkpoint
from prunebench.models.checkpoint import Checkpoint
from prunebench.models.costs import macs, masked, params
from prunebench.models.layers import layer_records, prunable_weights, unit_count
from prunebench.records import Accuracy, Seconds, StepRecord
from prunebench.registry import reference
from prunebench.runs.run import Run
from prunebench.training import resume as halfway
from prunebench.training.fit import Progress, Recipe, Stop
from prunebench.training.resume import Halfway, Keeper, SoFar

log = logging.getLogger(__name__)


def train(
    config: RunConfig, run: Run | None = None, progress: Progress | None = None, stop: Stop | None = None
) -> StepRecord:
    """Train the dense model and return its record, step 0.

    Args:
        config: what to do; it need not be resolved.
        run: where to keep what is computed, and to find what was.
        progress: told how far the work is, a few times a second.
        stop: asked after every batch whether to stop.

    Raises:
        PrunebenchError: settings, data, weights or device do not work; the message says what to do.
        Stopped: `stop` asked for it; with a run, the same call goes on from there.
    """
    bench = Bench(resolve(config), progress, stop)
    if run is not None and run.steps():
        run.tidy()
        return run.record(0)
    return _train(bench, run)[1]


def prune(
    config: RunConfig, run: Run | None = None, progress: Progress | None = None, stop: Stop | None = None
) -> Iterator[StepRecord]:
    """Prune and fine-tune, `iterations` times, starting from the trained model; yield the record of every step.

    Step 0 is the dense model, trained first if it is not there. With a run, the dense model is looked for, and
    kept, in its own run in the same folder. Arguments and errors are those of `train`.
    """
    bench = Bench(resolve(config), progress, stop)
    if run is None:
        _rehearse(bench)
        yield from _steps(bench, None)
    elif (records := answer(run, bench.config)) is not None:
        yield from records
    else:
        if not run.folder.exists():  # what cannot work is told before anything is written
            _rehearse(bench)
        with run.working(bench.environment):
            yield from _steps(bench, run)


def _steps(bench: Bench, run: Run | None) -> Iterator[StepRecord]:
    current: Checkpoint | None = None
    first: StepRecord | None = None
    for step in range(bench.config.iterations + 1):
        if run is not None and step in run.steps():
            record, current = run.record(step), None
        elif first is None:
            current, record = _unpruned(bench, run)
        else:
            current, record = _iteration(bench, run, current, first, step)
        first = first or record
        if run is not None:
            trim(run, bench.config)
        yield record


def reevaluate(run: Run, step: int, config: RunConfig) -> tuple[Accuracy, Accuracy]:
    """Compute anew, from the files of a finished step, its accuracy on test and training data.

    Args:
        run: a dense or pruning run.
        step: one of its finished steps.
        config: the run's config; where the data is, device and threads may differ.
    """
    bench = Bench(resolve(config), None)
    state = checkpoint.load(run.checkpoint(step), bench.config.model)
    bench.start_from(state)
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
    elif dense is not None:
        log.info("there is no trained model of these settings yet: training it first, as run %s", dense.info.key)
    state, trained = _train(bench, dense)
    accuracies = (trained.test_before, trained.train_before, trained.test_after, trained.train_after)
    result = Result(accuracies, trained.loss, trained.seconds, validation=trained.validation)
    return state, _commit(bench, run, state, _record(bench, state, result, step=0))


def _train(bench: Bench, run: Run | None) -> tuple[Checkpoint, StepRecord]:
    """The trained model and its record, from the run if they are there."""
    if run is None or not run.steps():
        _train_before(bench, run)
    if run is None:
        return _trained(bench, None)
    if not run.steps():
        if not run.folder.exists():
            bench.fresh()  # what cannot work is told before anything is written
        with run.working(bench.environment):
            if not run.steps():  # else another process has just finished it
                return _trained(bench, run)
    run.tidy()
    return checkpoint.load(run.checkpoint(0), bench.config.model), run.record(0)


def _train_before(bench: Bench, run: Run | None) -> None:
    """Train what `--weights FILE.toml` names, in a run of its own, and start from that."""
    *before, _ = phases(bench.config)
    for phase in before:
        own = run.sibling(dense_run(phase).info) if run is not None else None
        if own is None or not own.steps():
            log.info("training by %s first%s", bench.config.weights, f", as run {own.info.key}" if own else "")
        bench.start_from(_train(Bench(phase, bench.progress, bench.stop), own)[0])
        log.info("training goes on from there, by its own settings")


def _trained(bench: Bench, run: Run | None) -> tuple[Checkpoint, StepRecord]:
    half = _kept(bench, run, 0) or Halfway(bench.fresh(), SoFar(step=0))
    state = half.state
    loss, seconds = _fit(bench, run, half, bench.recipe())
    started = time.perf_counter()
    test, training = bench.accuracy(state)
    validation = bench.validation(state)
    seconds = msgspec.structs.replace(seconds, evaluate_after=time.perf_counter() - started)
    result = Result((test, training, test, training), loss, seconds, validation=validation)
    record = _record(bench, state, result, step=None)
    return state, _commit(bench, run, state, record)


def _iteration(
    bench: Bench, run: Run | None, previous: Checkpoint | None, first: StepRecord, step: int
) -> tuple[Checkpoint, StepRecord]:
    """Prune, evaluate, fine-tune, evaluate. `previous` is None where it is to be read from the run."""
    half = _kept(bench, run, step)
    if half is None:
        if previous is None:
            assert run is not None
            previous = checkpoint.load(run.checkpoint(step - 1), bench.config.model)
        half = _pruned(bench, previous, step, {layer.name: layer.shape_original[0] for layer in first.layers})
    state, so_far = half.state, half.so_far
    loss, seconds = _fit(bench, run, half, bench.finetuning())
    started = time.perf_counter()
    assert so_far.evaluated is not None
    accuracies = so_far.evaluated + bench.accuracy(state)
    validation = bench.validation(state)
    seconds = msgspec.structs.replace(seconds, evaluate_after=time.perf_counter() - started)
    result = Result(accuracies, loss, seconds, so_far.notes, validation)
    record = _record(bench, state, result, step=step, first=first, before=so_far.before)
    return state, _commit(bench, run, state, record)


def _pruned(bench: Bench, previous: Checkpoint, step: int, sizes: Mapping[str, int]) -> Halfway:
    """The model of the step before, pruned, and how it scores before fine-tuning; `sizes` as `Bench.request` asks."""
    bench.place(previous.model)
    masks = {name: mask.to(bench.device) for name, mask in previous.masks.items()}
    request = bench.request(step, sizes)
    clock = [time.perf_counter()]
    before = bench.method.count(previous.model, masks, request)
    pruned = bench.method.prune(previous.model, masks, request)
    state = replace(previous, masks=pruned.masks)
    clock.append(time.perf_counter())
    evaluated = bench.accuracy(state)
    clock.append(time.perf_counter())
    seconds = Seconds(*(end - start for start, end in itertools.pairwise(clock)))
    so_far = SoFar(step=step, before=before, evaluated=evaluated, notes=pruned.notes, seconds=seconds)
    return Halfway(state, so_far)


def _kept(bench: Bench, run: Run | None, step: int) -> Halfway | None:
    """What an earlier process kept of a step, if it began it."""
    half = halfway.read(run, step, bench.config.model) if run is not None else None
    if half is not None:
        epochs = bench.config.finetune_epochs if step else bench.config.epochs
        log.info("%s goes on %s", f"step {step}" if step else "training", half.so_far.mark.place(epochs))
    return half


def _fit(bench: Bench, run: Run | None, half: Halfway, recipe: Recipe) -> tuple[float | None, Seconds]:
    """Train, keeping the progress in the run if there is one; the loss, and the seconds of the step until now."""
    step, seconds = half.so_far.step, half.so_far.seconds
    started = time.perf_counter()
    keeper = Keeper(run, half, bench.config.checkpoint_every) if run is not None else None
    loss = bench.fit(half.state, recipe, "finetune" if step else "train", step, keeper)
    took = seconds.finetune + time.perf_counter() - started
    return loss, msgspec.structs.replace(seconds, finetune=took)


@dataclass(frozen=True)
class Result:
    """What a step computed: accuracies (test and train, before and after fine-tuning), loss, seconds, remarks, and
    accuracy on held-out data after fine-tuning."""

    accuracies: tuple[Accuracy, Accuracy, Accuracy, Accuracy]
    loss: float | None
    seconds: Seconds
    notes: tuple[str, ...] = ()
    validation: Accuracy | None = None


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
    layers = layer_records(state.model, state.masks, first.layers if first else (), bench.collapsed(state))
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
        nominal_left=1.0 if dense else method.left(config.fraction, step or 0),
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
        validation=result.validation,
    )


def _commit(bench: Bench, run: Run | None, state: Checkpoint, record: StepRecord) -> StepRecord:
    """Keep a step in the run, if there is one; the record then names it."""
    if run is None:
        return record
    record = msgspec.structs.replace(record, run=run.info.key)
    run.commit(record, lambda folder: checkpoint.save(state, folder))
    return record
