"""The plan: what a run will do, in a few lines, before it does it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from prunebench.config import RunConfig
from prunebench.data.dataset import datasets
from prunebench.experiment.resolve import weights_source
from prunebench.models.architecture import models
from prunebench.pruning.registry import methods
from prunebench.registry import reference
from prunebench.runs.run import Run


def training_plan(config: RunConfig, run: Run) -> Iterator[str]:
    """Lines on a training run; `config` is resolved."""
    yield f"train {_what(config)}"
    start = _start(config)
    if config.freeze:
        start += ", the classifier alone"
    epochs = f"{config.epochs} epochs of {config.optimizer}, lr {config.lr:g}, {config.schedule}"
    yield f"  from     {start}: {epochs}, batch {config.batch_size}"
    yield f"  run      {run.info.key} in {run.root} ({'finished' if run.steps() else _begun(run) or 'new'})"


def pruning_plan(config: RunConfig, run: Run, dense: Run) -> Iterator[str]:
    """Lines on a pruning run and the dense run that it starts from; `config` is resolved."""
    iterations = config.iterations or 0
    yield f"prune {_what(config)}"
    yield f"  dense    {dense.info.key} ({_trained(dense)})"
    yield f"  method   {config.method}, criterion {reference(config.criterion)}"
    yield f"  schedule {'at most ' if config.until else ''}{schedule(config)}"
    if config.until:
        yield f"  until    {' and '.join(config.until)}"
    if config.validation:
        yield f"  held out {100 * config.validation:g} % of the training data, to select on"
    if config.finetune_epochs:
        tuning = f"{config.finetune_optimizer}, lr {config.finetune_lr:g}, {config.finetune_schedule}"
        yield f"  tuning   {config.finetune_epochs} epoch(s) per step of {tuning}, batch {config.finetune_batch_size}"
    else:
        yield "  tuning   none"
    done = len([step for step in run.steps() if step <= iterations])
    state = f"{done} of {iterations + 1} steps are there" if done else _begun(run) or "new"
    yield f"  run      {run.info.key} in {run.root} ({state})"


def schedule(config: RunConfig) -> str:
    """`10 × 0.1 → 34.9 % of channels`; `10 × nothing removed` of a control."""
    assert config.iterations is not None
    assert config.fraction is not None
    method = methods.get(config.method)
    if not method.removes:
        return f"{config.iterations} × nothing removed"
    unit = method.units[models.get(config.model).reads]
    left = 100 * method.left(config.fraction, config.iterations)
    return f"{config.iterations} × {config.fraction:g} → {left:.3g} % of {unit}"


def _start(config: RunConfig) -> str:
    source, run = weights_source(config, models.get(config.model))
    if source == "config" and run is not None:
        return f"{Path(str(config.weights)).name}, run {run.info.key} ({_trained(run)})"
    return "fresh weights" if source == "none" else f"weights {config.weights}"


def _trained(run: Run) -> str:
    return "trained" if run.steps() else "will be trained first"


def _begun(run: Run) -> str:
    return "begun, and goes on" if run.progress() else ""


def _what(config: RunConfig) -> str:
    reads = datasets.get(config.dataset).reads
    sizes = {"text": f"up to {config.sequence_length} tokens, ", None: ""}
    size = sizes.get(reads, f"{config.image_size} px, ")
    return f"{reference(config.model)} on {reference(config.dataset)}: {size}{config.dtype}, seed {config.seed}"
