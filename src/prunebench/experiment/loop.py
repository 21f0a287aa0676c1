"""The loop: train, then prune and fine-tune again and again, yielding a record per step.

`train` and `prune` keep what they compute in a Run if they are given one: finished steps are read from it, and
each new step is committed before it is yielded. Without a run they write nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial

import msgspec
import torch

from prunebench.config import RunConfig
from prunebench.data.dataset import Part
from prunebench.errors import RunError
from prunebench.experiment.answers import Answered, packed, unpacked
from prunebench.experiment.checks import check_trains
from prunebench.experiment.existing import check_data
from prunebench.experiment.experiment import Experiment
from prunebench.experiment.goals import check_counted
from prunebench.experiment.harm import fine_tunes, of_control, of_training
from prunebench.experiment.plan import summary_lines
from prunebench.experiment.record import step_record, trained_record
from prunebench.experiment.resolve import resolve
from prunebench.experiment.retraining import Retraining, check_policy
from prunebench.experiment.setup import Setup, set_up
from prunebench.experiment.starts.checkpoints import as_kept, start_in, start_of
from prunebench.experiment.starts.opening import open_start
from prunebench.experiment.starts.start import Start
from prunebench.experiment.store import Store, store_for
from prunebench.experiment.team import Team, together
from prunebench.experiment.unit_times import lines, unit_costs
from prunebench.models import checkpoint
from prunebench.models.checkpoint import Checkpoint
from prunebench.models.kept import composed
from prunebench.models.undisturbed import undisturbed
from prunebench.records import Answers, Scores, Seconds, StepRecord, Summary, UnitCosts
from prunebench.runs.reproducibility import check_versions
from prunebench.runs.run import Run
from prunebench.tracking.telling import Telling
from prunebench.training.determinism import deterministic_or_told
from prunebench.training.device import environment, use
from prunebench.training.fit import Progress, Stop
from prunebench.training.state import StepState

log = logging.getLogger(__name__)

SCORES = ("test_before", "train_before", "test_after", "train_after", "validation")
"""Fields of a record that hold what was scored."""


@undisturbed
def train(
    config: RunConfig | Experiment,
    run: Run | None = None,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> StepRecord:
    """Train the dense model and return its record, step 0.

    Args:
        config: what to do.
        run: where to keep what is computed, and to find what was.
        progress: told how far the work is, a few times a second.
        stop: asked after every batch whether to stop.

    Raises:
        PrunebenchError: settings, data, weights or device do not work; the message says what to do.
        Stopped: `stop` asked for it; with a run, the same call goes on from there.
    """
    experiment = resolve(config)
    if not isinstance(config, Experiment):  # of a pruning run, fresh weights may be kept as they are
        check_trains(experiment)
    store = store_for(run, experiment)
    if store.steps():
        store.tell_finished()
    else:
        with together(experiment) as team:
            setup = set_up(experiment, _start(experiment, store), progress, stop, team)
            _tell(setup.summary(pruned=False))
            _train(setup, store)
    store.tidy()
    return store.record(0)


@undisturbed
def prune(
    config: RunConfig | Experiment,
    run: Run | None = None,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> Iterator[StepRecord]:
    """Prune and fine-tune, `iterations` times, starting from the trained model; yield the record of every step.

    Step 0 is the dense model, trained first if it is not there. With a run, the dense model is looked for, and
    kept, in its own run in the same folder. Arguments and errors are those of `train`.
    """
    experiment = resolve(config)
    store = store_for(run, experiment)
    if (records := store.finished()) is not None:
        store.tell_finished()
        yield from records
        return
    with together(experiment) as team:
        yield from _steps(experiment, store, progress, stop, team)


def _steps(
    experiment: Experiment, store: Store, progress: Progress | None, stop: Stop | None, team: Team
) -> Iterator[StepRecord]:
    """The records of all steps: of those that are there, then of those that are computed now."""
    setup = set_up(experiment, _start(experiment, store), progress, stop, team) if store.new else None
    if setup is not None:
        _tell(setup.summary(pruned=True))
        _rehearse(setup)
        if harm := of_control(experiment):
            log.warning("%s.", harm)
    settings = experiment.settings
    here = setup.environment("prune") if setup else environment(use(settings), settings.seed, devices=settings.devices)
    retraining: Retraining | None = None
    with store.working(here), store.telling() as told:
        for step in range(settings.iterations + 1):
            if step not in store.steps():
                if setup is None:
                    setup = set_up(experiment, _start(experiment, store), progress, stop, team)
                    _tell(setup.summary(pruned=True))
                unit_costs(setup, store)  # before anything is trained
                retraining = retraining or Retraining(_heard(setup, told), store, partial(_as_begun, setup, store))
                _unpruned(setup, store) if step == 0 else _iteration(retraining, step)
            told.step(store.record(step), store.record(0))
            yield store.record(step)


@undisturbed
def reevaluate(run: Run, step: int, config: RunConfig | Experiment) -> tuple[Scores, Scores]:
    """Compute anew, from the files of a finished step, its scores on test and training data.

    Args:
        run: a dense or pruning run.
        step: one of its finished steps.
        config: the run's config; where the data is, device and threads may differ.

    Raises:
        RunError: the data, or a version of what prepared it or made the model, is another than it was.
    """
    experiment = resolve(config)
    check_versions(run.key, run.environment())
    check_data(run, experiment)
    state = checkpoint.load(run.checkpoint(step), experiment.model)
    return set_up(experiment, start_of(state)).scores(state)


def _heard(setup: Setup, told: Telling) -> Setup:
    """A setup whose training trackers are told of."""
    if not told.heard:
        return setup
    found = replace(setup, progress=told.hearing(setup.progress))
    known = {name: value for name, value in vars(setup).items() if name not in vars(found)}
    vars(found).update(known)  # what was found out of the model is not found out again
    return found


def _tell(summary: Summary) -> None:
    """Say what everything was taken for, before it takes long."""
    for line in summary_lines(summary):
        log.info("%s", line)


def _start(experiment: Experiment, store: Store) -> Start | None:
    """Where a run starts from whose model, or whose dense model, is kept; None where nothing is.

    Tokenizer and normalisation are those of what is kept: made anew, they could be others.
    """
    dense = store.of(experiment.dense)
    if dense.steps() and (folder := dense.kept()) is not None:
        return start_in(folder, experiment)
    folder = store.kept() or dense.kept()
    return None if folder is None else as_kept(open_start(experiment), folder)


def _rehearse(setup: Setup) -> None:
    """Prune once, fresh weights or those that are there, so that what cannot work is told before it takes long."""
    check_counted(setup.experiment.goals, setup.task.objective.metrics)
    state = setup.fresh()
    check_policy(setup, state)
    if not setup.experiment.goals:  # else it ends where they are met
        setup.experiment.method.check(state.model, setup.sketch(setup.experiment.settings.iterations))
    setup.experiment.method.prune(state.model, state.masks, setup.sketch(1))


def _unpruned(setup: Setup, store: Store) -> None:
    """Step 0: the trained model, from its run if it is there, else trained now."""
    dense = store.of(setup.experiment.dense)
    if dense.steps():
        log.info("starting from the trained model of run %s", dense.key)
        dense.tell_finished()
    else:
        if dense.key and setup.experiment.settings.epochs:
            log.info("there is no trained model of these settings yet: training it first, as run %s", dense.key)
        _train(setup, dense)
    dense.tidy()
    trained = dense.record(0)
    state = StepState(0, dense.checkpoint(0), mean_loss=trained.loss, notes=trained.notes)
    scores = {name: getattr(trained, name) for name in SCORES}
    summary = setup.summary(pruned=True)
    if trained.summary is not None:  # which tells where the weights came from, before they were trained
        summary = msgspec.structs.replace(summary, weights=trained.summary.weights)
    record = step_record(setup, state, None, summary=summary, seconds=trained.seconds, **scores)
    store.commit(record, state, dense.answers(0))


def _train(setup: Setup, store: Store) -> None:
    """Train the dense model, after the phase before it, if there is one, which has a run of its own."""
    setup = _after_first(setup, store)
    if store.new:
        setup.fresh()  # what cannot work is told before anything is written
    with store.working(setup.environment("train")), store.telling() as heard:
        if store.steps():  # another process has just finished it
            return
        setup = _heard(setup, heard)
        given = setup.given()
        state = _fitted(setup, store, store.begun(0) or StepState(0, setup.fresh()))
        scores, answers, state = _scored(setup, state)
        if (after := scores["test_after"]) and (fallen := _fallen(given, after)):
            log.warning("%s.", fallen)
            state = replace(state, notes=(*state.notes, fallen))
        told = {"summary": setup.summary(pruned=False), "seconds": state.seconds}
        _check_files(setup)
        store.commit(trained_record(setup, state, **told, **scores), state, answers)
        heard.step(store.record(0), store.record(0))


def _after_first(setup: Setup, store: Store) -> Setup:
    """A setup that starts from the phase of training before this one's, if there is one; it is trained where it is not
    there."""
    if (first := setup.experiment.first) is None:
        return setup
    before = store.of(first.dense)
    if not before.steps():
        as_run = f", as run {before.key}" if before.key else ""
        log.info("training by %s first%s", setup.experiment.settings.weights, as_run)
        _train(set_up(first, None, setup.progress, setup.stop, setup.team), before)
        log.info("training goes on from there, by its own settings")
    return set_up(setup.experiment, start_of(before.checkpoint(0)), setup.progress, setup.stop, setup.team)


def _as_begun(setup: Setup, store: Store) -> Setup:
    """The setup in which the dense model was trained: it starts where that did, and not from what came of it."""
    folder = store.of(setup.experiment.dense).kept()
    if setup.experiment.first is None and folder is not None:
        return replace(setup, start=as_kept(open_start(setup.experiment), folder))
    return _after_first(setup, store)


def _fallen(given: Scores | None, after: Scores) -> str:
    """What to say where training has left less than the weights had that were given; empty where it has not."""
    main = after.main
    if given is None or not (after[main.name] - given[main.name]) * (1 if main.higher_is_better else -1) < 0:
        return ""
    return (
        f"training ended below the weights that it was given: test {main.title} {given[main.name]:.4g} → "
        f"{after[main.name]:.4g}; --epochs 0 takes them as they are, a smaller --lr changes them less"
    )


def _iteration(retraining: Retraining, step: int) -> None:
    """Prune, evaluate, retrain, evaluate."""
    setup, store = retraining.setup, retraining.store
    first = store.record(0)
    told = _counted_otherwise(setup, first)
    costs = unit_costs(setup, store)
    state = store.begun(step) or _pruned(setup, store.checkpoint(step - 1), step, costs)
    told = (*told, *(lines(costs) if costs is not None and step == 1 else ()))
    state = replace(state, notes=tuple(dict.fromkeys((*state.notes, *told))))
    state = _fitted(setup, store, state, retraining)
    scores, answers, state = _scored(setup, state)
    now = {part: unpacked(bits) for part, bits in answers.parts.items()}
    if fine_tunes(setup.experiment) and (harm := of_training(state.right, now)):
        state = replace(state, notes=(*state.notes, harm))
        if step == 1:
            log.warning("step 1: %s.", harm)
    _check_files(setup)
    store.commit(step_record(setup, state, first, seconds=state.seconds, **scores), state, answers)


def _counted_otherwise(setup: Setup, first: StepRecord) -> tuple[str, ...]:
    """What to say where an earlier version began the run, and counted fewer of the model's multiply-accumulates.

    Raises:
        RunError: a goal bounds them, so they cannot be compared.
    """
    if first.effective_macs is not None or (now := setup.summary(pruned=False).macs) == first.macs:
        return ()
    told = (
        f"an earlier version counted {first.macs:,} MACs of the unpruned model, without attention or recurrent layers; "
        f"it has {now:,}, and so counted are those of this step"
    )
    if any(goal.measure == "macs" for goal in setup.experiment.goals):
        raise RunError(f"--until bounds MACs, but {told}. Start over with --fresh, which keeps what is there aside.")
    return (told,)


def _check_files(setup: Setup) -> None:
    """Raise DataError where files that were read while a step was computed have changed meanwhile."""
    if setup.experiment.dataset.kind == "files":
        setup.experiment.check_data()


def _pruned(setup: Setup, previous: Checkpoint, step: int, costs: UnitCosts | None) -> StepState:
    """The model of the step before, pruned, and how it scores before fine-tuning."""
    setup.place(previous.model)
    masks = {name: mask.to(setup.device) for name, mask in previous.masks.items()}
    request = replace(setup.request(step, previous), costs=None if costs is None else costs.ms)
    method = setup.experiment.method
    started = time.perf_counter()
    before = method.count(previous.model, masks, request)
    with deterministic_or_told(setup.device):
        pruned = method.prune(previous.model, masks, request)
    state = replace(previous, masks=pruned.masks, kept=composed(previous.kept, pruned.kept))
    between = time.perf_counter()
    found = setup.answered(state, "test", "train")
    seconds = Seconds(prune=between - started, evaluate_before=time.perf_counter() - between)
    scores = found["test"].scores, found["train"].scores
    return StepState(step, state, before, scores, pruned.notes, seconds, right=_right(found), removed=pruned.removed)


def _fitted(setup: Setup, store: Store, state: StepState, retraining: Retraining | None = None) -> StepState:
    """A step after its training, which goes on where it was stopped."""
    if state.at != StepState(state.step, state.checkpoint).at:
        epochs = (setup.retraining() if state.step else setup.recipe()).epochs
        log.info("%s goes on %s", f"step {state.step}" if state.step else "training", state.place(epochs))

    def save(state: StepState) -> None:
        _check_files(setup)
        store.save(state)

    return setup.fit(state, save) if retraining is None else retraining.fit(state, save)


def _scored(setup: Setup, state: StepState) -> tuple[dict[str, Scores | None], Answers, StepState]:
    """The scores of a step before and after its training, as its record names them, its answers, and the step with the
    seconds."""
    started = time.perf_counter()
    if state.epoch == 0 and state.scores is not None and state.right:  # zero epochs have changed nothing
        (test, train), right = state.scores, dict(state.right)
    else:
        found = setup.answered(state.checkpoint, "test", "train")
        test, train, right = found["test"].scores, found["train"].scores, _right(found)
    held_out = setup.answered(state.checkpoint, "validation")
    validation = held_out["validation"].scores if held_out else None
    before = state.scores or (test, train)
    seconds = msgspec.structs.replace(state.seconds, evaluate_after=time.perf_counter() - started)
    scores = dict(zip(SCORES, (*before, test, train, validation), strict=True))
    return scores, packed(right | _right(held_out)), replace(state, seconds=seconds)


def _right(found: Mapping[Part, Answered]) -> dict[str, torch.Tensor]:
    """Which samples are answered rightly, by part of the data."""
    return {str(part): of.right for part, of in found.items()}
