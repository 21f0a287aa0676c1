"""Fill the empty fields of a RunConfig, once: option, file, model and dataset entry, method, default."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from prunebench.architecture import ModelEntry, models, takes
from prunebench.catalogue import find
from prunebench.config import RunConfig, deciding, default, field_types, option_name
from prunebench.data import datasets
from prunebench.errors import AmbiguousRun, ConfigError, RunError
from prunebench.goals import check_goals, parse
from prunebench.methods import criteria, methods
from prunebench.registry import reference
from prunebench.store import Run

Source = Literal["none", "imagenet", "file", "run", "hub"]
FILES = (".pth", ".pt", ".safetensors")

SEARCHED = 50
"""Iterations after which a search for a goal ends, unless others were asked for."""

HELD_OUT = 0.1
"""Share of the training data that is held out where a goal bounds accuracy, unless another was asked for."""


def resolve(config: RunConfig) -> RunConfig:
    """The same config with every name checked and every field filled that has a value for this model and data.

    Raises:
        ConfigError: a name is unknown, or two settings do not go together.
    """
    if config.model is None:
        raise ConfigError(f"--model is missing. There are: {', '.join(models.names())}; or path.py:function.")
    entry = models.get(config.model)
    source, run = weights_source(config, entry)
    values: dict[str, Any] = {name: default(name) for name in field_types()}
    method = methods.get(config.method or values["method"])
    values["criterion"] = method.criterion
    values["dataset"] = "reviews" if entry.reads == "text" else "digits"
    values.update(entry.defaults)
    if source in ("imagenet", "file", "hub"):
        values.update(entry.pretrained)
    inherited = _inherited(run) if run is not None else {}
    data = datasets.get(config.dataset or inherited.get("dataset") or values["dataset"])
    values.update(data.defaults or {})
    if source != "none":
        values["augment"] = False
    values.update(inherited)
    given = {name: getattr(config, name) for name in field_types() if getattr(config, name) is not None}
    if run is not None:
        at_home = run.root.resolve() == Path(config.runs_dir or default("runs_dir")).resolve()
        given["weights"] = run.info.key if at_home else str(run.folder)
    goals = [parse(text) for text in config.until or ()]
    if goals:
        values["iterations"] = SEARCHED
    if any(goal.of_accuracy for goal in goals):
        values["validation"] = values["validation"] or HELD_OUT
    filled = msgspec.structs.replace(config, **{**values, **given})
    check_goals(goals, filled)
    if not method.removes and not all(goal.of_accuracy for goal in goals):
        raise ConfigError(f"--until bounds costs, which --method {filled.method} does not lower: it removes nothing.")
    criteria.get(filled.criterion)
    check_fit(filled, data.reads)
    if filled.stem == "small" and not takes(entry, "stem"):
        raise ConfigError(f"--stem small is for the ResNets; {filled.model} has one stem only.")
    if (filled.round_to or 1) > 1 and filled.method != "structured":
        raise ConfigError(
            f"--round-to is for structured pruning, which removes whole channels; {filled.method} pruning removes none."
        )
    if run is not None:
        _check_held_out(filled, run)
    return filled


def _inherited(run: Run) -> dict[str, Any]:
    """What a second phase of training takes over from the run that it starts from: all but freezing."""
    names = [name for name in deciding("training") if name not in ("model", "weights", "freeze")]
    return {name: run.info.config[name] for name in names if name in run.info.config}


def _check_held_out(config: RunConfig, run: Run) -> None:
    """Raise ConfigError where the run that a config starts from has trained on what the config would hold out."""
    decide = ("validation", "seed", "limit_train")
    theirs = [run.info.config.get(name) for name in decide]
    if (
        config.validation
        and run.info.config["dataset"] == reference(config.dataset)
        and theirs != [getattr(config, name) for name in decide]
    ):
        raise ConfigError(
            f"--validation {config.validation:g}: run {run.info.key}, from which --weights starts, has trained on data "
            f"that would be held out here. Train it with the same {', '.join(map(option_name, decide))} first."
        )


def check_fit(config: RunConfig, kind: str | None) -> None:
    """Raise ConfigError where the model cannot read data of this kind ("images", "files", "text")."""
    reads = models.get(config.model).reads
    is_text = kind == "text"
    if reads is not None and kind is not None and (reads == "text") != is_text:
        fitting = "reviews, sst2 or text-file" if reads == "text" else "digits, cifar10 or image-folder"
        raise ConfigError(
            f"{config.model} reads {reads}, but {config.dataset} holds {'text' if is_text else 'images'}. "
            f"Choose a dataset such as {fitting}."
        )


def weights_source(config: RunConfig, entry: ModelEntry) -> tuple[Source, Run | None]:
    """Where `--weights` points: nowhere, ImageNet, a file, a run (the second value), or Hugging Face.

    Raises:
        ConfigError: it points at nothing that this model can start from.
    """
    weights = config.weights
    if weights is None or weights == "none":
        return "none", None
    if weights == "imagenet":
        if entry.published != "torchvision":
            raise ConfigError(f"--weights imagenet: there are none for {entry.name}.")
        return "imagenet", None
    if weights.endswith(FILES):
        if not Path(weights).is_file():
            raise ConfigError(f"--weights {weights}: there is no such file.")
        return "file", None
    try:
        run = find(config.runs_dir or default("runs_dir"), weights)
        if run.info.kind == "efficiency":
            raise ConfigError(f"--weights {weights} is a run of timings, which holds no weights.")
        return "run", run
    except AmbiguousRun:
        raise
    except RunError as error:
        if entry.published == "huggingface":
            return "hub", None
        raise ConfigError(
            f"--weights {weights} is neither none, imagenet, a file ({', '.join(FILES)}) nor a run. {error}"
        ) from None
