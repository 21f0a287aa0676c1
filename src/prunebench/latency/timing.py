"""Time a pruning run from its checkpoints, or the untrained architecture."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import msgspec
import torch

from prunebench.config import RunConfig
from prunebench.errors import ConfigError
from prunebench.experiment.existing import check_data
from prunebench.experiment.experiment import Experiment
from prunebench.experiment.resolve import resolve
from prunebench.experiment.untrained import untrained
from prunebench.latency.accuracy import calibration_of, score_of, task_of
from prunebench.latency.backends import backends
from prunebench.latency.config import EfficiencyConfig
from prunebench.latency.measure import measure
from prunebench.latency.prepare import INT8, Conditions, check_usable
from prunebench.latency.steps import planned_steps, timed_steps
from prunebench.latency.variants import TimedStep, rounded_up
from prunebench.models import checkpoint
from prunebench.models.checkpoint import Checkpoint
from prunebench.models.input_spec import check_forward, output_of
from prunebench.models.undisturbed import undisturbed
from prunebench.pruning.granularity import read_pattern
from prunebench.records import TimingRecord
from prunebench.registry import reference
from prunebench.runs.index import find
from prunebench.runs.run import Run
from prunebench.training.device import environment, use
from prunebench.training.fit import Stop

State = tuple[int, float, Checkpoint]
"""A step, its nominal share left, and its model."""

FULL = "fp32"
"""The dtype of runs."""


@undisturbed
def time_run(
    run: Run,
    config: RunConfig | Experiment,
    efficiency: EfficiencyConfig,
    *,
    into: Run | None = None,
    stop: Stop | None = None,
) -> Iterator[TimingRecord]:
    """Time steps of a run whose checkpoints are kept; yields a record per step.

    Args:
        run: a pruning run.
        config: its config; device and threads may differ from those it was computed with.
        efficiency: how to time, and which steps.
        into: an efficiency run that keeps the records; steps that it has are not timed again.
        stop: asked before every round whether to stop.

    Raises:
        ConfigError: this backend, dtype or size of inputs cannot be timed here.
        RunError: the run has no such step, one cannot be read, or accuracy would be that on other data.
        ModelError: the backend cannot run the model, or answers otherwise than eager PyTorch.
        Stopped: `stop` asked for it.
    """
    experiment, steps = resolve(config), timed_steps(run, efficiency, into.steps() if into is not None else ())

    def states(missing: Sequence[int]) -> Iterator[State]:
        yield 0, 1.0, checkpoint.load(_original(run), experiment.model)
        for step in missing:
            yield step, run.record(step).nominal_left, checkpoint.load(run.checkpoint(step), experiment.model)

    yield from _time(experiment, efficiency, states, of=run, steps=steps, into=into, stop=stop)


@undisturbed
def time_untrained(
    config: RunConfig | Experiment, efficiency: EfficiencyConfig, *, into: Run | None = None, stop: Stop | None = None
) -> Iterator[TimingRecord]:
    """Time the architecture with untrained weights, pruned by the schedule of the config, as `time_run` does.

    Latency does not depend on the values of the weights, but where these decide what goes of each layer.
    """
    experiment = resolve(config)

    def states(missing: Sequence[int]) -> Iterator[State]:
        for state in untrained(experiment):
            if state[0] == 0:
                yield state
            if state[0] in missing:
                yield state

    steps = planned_steps(experiment.settings, efficiency)
    yield from _time(experiment, efficiency, states, of=None, steps=steps, into=into, stop=stop)


def _time(
    experiment: Experiment,
    efficiency: EfficiencyConfig,
    states: Callable[[Sequence[int]], Iterator[State]],
    *,
    of: Run | None,
    steps: Sequence[int],
    into: Run | None,
    stop: Stop | None,
) -> Iterator[TimingRecord]:
    settings, backend = experiment.settings, backends.get(efficiency.backend)
    products = "fp32" if efficiency.dtype == INT8 else efficiency.dtype  # of what is not in int8
    device = use(msgspec.structs.replace(settings, dtype=products))
    done = [] if into is None else [step for step in steps if step in into.steps()]
    missing = [step for step in steps if step not in done]
    if into is not None:
        yield from (into.timing(step) for step in done)
    if not missing:
        return
    check_usable(backend, device, efficiency.dtype)
    if of is not None and efficiency.dtype != FULL:  # whose answers are scored: told now, not when all is timed
        check_data(of, experiment)
    here = environment(device, settings.seed, backend.needs)
    with into.working(here) if into is not None else nullcontext():
        pruned = states(missing)
        _, _, original = next(pruned)
        original = _fitted(original, efficiency)
        task = None if of is None else task_of(of, experiment, efficiency, original)
        conditions = Conditions(
            backend=backend,
            device=device,
            efficiency=efficiency,
            about={
                "run": of and of.key,
                "model": reference(settings.model),
                "method": settings.method,
                "inputs": original.architecture.inputs.text(),
            },
            compressible=experiment.method.masks,
            score=None if task is None else score_of(task, efficiency, original, device),
            stop=stop,
            pattern=None if settings.pattern is None else read_pattern(settings.pattern),
            calibration=task and cache(partial(calibration_of, task, efficiency.int8_samples, device)),
        )
        subjects = (
            TimedStep(step, left, state, rounded_up(original, experiment, step)) for step, left, state in pruned
        )
        for record in measure(original, subjects, len(missing), conditions):
            if into is not None:
                into.commit(record, lambda folder: None)
            yield record


def _fitted(original: Checkpoint, efficiency: EfficiencyConfig) -> Checkpoint:
    """The unpruned model with the size of inputs that is to be timed.

    Raises:
        ConfigError: the model reads inputs of another kind.
        ModelError: it does not run on this size.
    """
    inputs, architecture = original.architecture.inputs, original.architecture
    wrong = efficiency.sequence_length if inputs.kind == "images" else efficiency.image_size
    if wrong is not None:
        option = "--sequence-length" if inputs.kind == "images" else "--image-size"
        raise ConfigError(f"{option} {wrong}: {architecture.model} reads {inputs.kind}.")
    changes: dict[str, Any] = {"size": efficiency.image_size, "length": efficiency.sequence_length}
    inputs = msgspec.structs.replace(inputs, **{name: value for name, value in changes.items() if value is not None})
    if inputs != architecture.inputs:
        check_forward(original.model, inputs, _same_output(original), architecture.model)
    return replace(original, architecture=msgspec.structs.replace(architecture, inputs=inputs))


def _same_output(original: Checkpoint) -> Callable[[tuple[int, ...]], str]:
    """What tells an output apart from that for inputs of the size that the model was trained on."""
    with torch.no_grad():
        usual = tuple(output_of(original.model, original.architecture.inputs.example()).shape)
    return lambda shape: "" if shape == usual else f"the size that it was trained on gives {usual}"


def _original(run: Run) -> Path:
    """The checkpoint of the unpruned model: the run's own, or that of the dense run where it was not kept."""
    if 0 not in run.checkpoints() and run.manifest.source is not None:
        dense = find(run.root, run.manifest.source)
        return dense.checkpoint(0)
    return run.checkpoint(0)
