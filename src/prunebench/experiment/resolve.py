"""The one door: a RunConfig goes in and an Experiment comes out; nothing below takes a config or resolves again.

A field that was left empty gets its value from what the config starts from, else from the model, the dataset, or the
method, else its default. A config may start from the run of another one (`--weights FILE.toml`), which is then an
experiment of its own.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from prunebench.config import (
    AS_TRAINED,
    SETTINGS_FILE,
    WEIGHT_FILES,
    RunConfig,
    Settings,
    deciding,
    default,
    field_types,
    given,
    is_weight_file,
    merge,
    read_toml,
)
from prunebench.data.dataset import DatasetEntry, about_to_download, datasets
from prunebench.errors import AmbiguousRun, ConfigError, RunError, UnknownName
from prunebench.experiment.checks import check, check_folder, check_reading, check_tuning, has_floor, unread
from prunebench.experiment.experiment import Experiment, Origin, check_code
from prunebench.experiment.goals import parse
from prunebench.experiment.identity import OF_WEIGHTS, as_stored
from prunebench.models.architecture import ModelEntry, arguments_told, check_needed, models
from prunebench.pruning.amounts import named, schedules
from prunebench.pruning.registry import Method, criteria, methods
from prunebench.pruning.shares import kept_as, of_units, of_weights
from prunebench.registry import reference, without_folder
from prunebench.runs.index import find, is_run_folder
from prunebench.runs.run import Run
from prunebench.training.policies import policies

TRAINS = (
    *("weights", "freeze", "epochs", "batch_size", "optimizer", "lr", "schedule", "gamma", "momentum"),
    *("weight_decay", "clip_norm", "class_weights"),
)
"""Settings that each of two phases of training has of its own; of what they train on, and where, both have the same."""

SEARCHED = 50
"""Iterations after which a search for a goal ends, unless others were asked for."""

HELD_OUT = 0.1
"""Share of the training data that is held out where a goal bounds accuracy, unless another was asked for."""

FLOOR = 0.1
"""What every layer keeps at least where layers compete for what stays, unless it is said (see `RunConfig.floor`)."""


UPDATES = 60
"""Batches that a step is fine-tuned on at least, unless it is said: fewer do more harm than good, as an optimizer
begins anew in each (docs/fine-tuning.md)."""


def resolve(config: RunConfig | Experiment) -> Experiment:
    """The experiment of a config: every name checked, every field filled. One that is resolved already stays as it is.

    Raises:
        ConfigError: a name is unknown, or two settings do not go together.
    """
    if isinstance(config, Experiment):
        return config
    if config.model is None:
        raise ConfigError(f"--model is missing. There are: {', '.join(models.names())}; or path.py:function.")
    entry = _model(config.model)
    origin = _origin(config, entry)
    inherited = _inherited(origin.run) if origin.run is not None else {}
    method = methods.get(config.method or default("method"))
    usual = "reviews" if entry.reads == "text" else "digits"
    if config.dataset is None and origin.kind == "run" and origin.run is not None:
        check_code("dataset", str(inherited.get("dataset")), {}, f"Run {origin.run.key}, which --weights names,")
    data = _dataset(config.dataset or inherited.get("dataset") or entry.defaults.get("dataset") or usual)
    inherited = {name: value for name, value in inherited.items() if name not in unread(data)}
    check_folder(config, data, entry.reads)
    check_reading(config, data)
    goals = tuple(parse(text) for text in config.until or ())
    values = {
        **{name: default(name) for name in field_types()},
        **{"criterion": method.criterion, "dataset": usual},
        **({} if method.masks else dict.fromkeys(OF_WEIGHTS)),
        **entry.defaults,
        **(entry.pretrained if origin.pretrained else {}),
        **(data.defaults or {}),
        **({} if origin.kind == "none" else {"augment": False}),
        **inherited,
    }
    values["sparsity_schedule"] = schedules.named(config.sparsity_schedule or default("sparsity_schedule"))
    values["iterations"] = _iterations(config, str(values["sparsity_schedule"]), values["iterations"])
    if any(goal.of_score for goal in goals):
        values["validation"] = values["validation"] or HELD_OUT
    arguments = arguments_told(entry, config.model_arg or inherited.get("model_arg") or ())
    check_needed(entry, arguments)
    otherwise = dict(values)
    values |= given(config) | _place(config, origin) | {"model_arg": arguments}
    values["criterion"] = criteria.named(values["criterion"])
    values["sparsity_schedule"] = schedules.named(values["sparsity_schedule"])
    values["retrain"] = policies.named(values["retrain"])
    values["finetune_updates"] = _updates(config, values)
    if method.masks and "scope" not in given(config):
        values["scope"] = _scope(config, criteria.get(values["criterion"]).scope)
    values |= _between_layers(values, config, method)
    same = [name for name in AS_TRAINED if values[f"finetune_{name}"] == values[name]]
    settings = Settings(**values | {f"finetune_{name}": None for name in same})
    experiment = Experiment(settings, goals, origin)
    check(experiment)
    check_tuning(config, settings, otherwise)
    return experiment.settled()


def _updates(config: RunConfig, values: Mapping[str, Any]) -> int:
    """How many batches a step is fine-tuned on at least, unless it or the epochs are said."""
    said = {"finetune_updates", "finetune_epochs", "every"} & given(config).keys()
    tunes = values["finetune_epochs"] and policies.get(values["retrain"]).tunes(values["epochs"])
    return UPDATES if tunes and not said else values["finetune_updates"]


def _scope(config: RunConfig, usual: str) -> str:
    """In which weights are ranked unless it is said: as a criterion has it, but where a pattern leaves no single
    weights to be ranked in rows, or takes the same of every layer anyhow."""
    alike = config.pattern is not None and (of_weights(usual).in_rows or "pattern" in named(config))
    return "layerwise" if alike else usual


def _between_layers(values: dict[str, Any], config: RunConfig, method: Method) -> dict[str, Any]:
    """The scope by the name under which it is kept, and where weights or units of several layers compete, what each
    layer keeps, and how units compare."""
    scope = kept_as(values["scope"], method.narrows)
    if method.masks and "floor" not in given(config) and has_floor(scope, values["pattern"]):
        return {"scope": scope, "floor": FLOOR}
    if not method.narrows or not (found := of_units(scope)).pooled:
        return {"scope": scope}
    usual = {"floor": FLOOR, "group_normalisation": "mean" if found.compares else "none"}
    return {"scope": scope, **usual, **{name: value for name, value in given(config).items() if name in usual}}


def _iterations(config: RunConfig, schedule: str, usual: int) -> int:
    """How many iterations there are unless it is said: as many as a search takes, or one where all goes at once."""
    if config.until:
        return SEARCHED
    targets = named(config)
    return 1 if targets and ("pattern" in targets or schedules.get(schedule).at_once) else usual


def _model(name: Any) -> ModelEntry:
    """The entry of a model, whose folder, if it is named by one, is there.

    Raises:
        ConfigError: there is no such model.
        DataError: its folder cannot be downloaded.
        ModelError: its folder is none of a classifier.
    """
    folder = models.get(name).folder
    if folder is not None:
        if not folder.here:
            about_to_download(f"{folder.name} of Hugging Face")
        folder.fetch()
        _ = folder.config
    return models.get(name)


def _dataset(name: Any) -> DatasetEntry:
    """The entry of a dataset.

    Raises:
        ConfigError: there is none, or it is a folder.
    """
    try:
        return datasets.get(name)
    except UnknownName:
        if isinstance(name, str) and Path(name).is_dir():
            raise ConfigError(
                f"--dataset {name} is a folder: give --dataset image-folder --data-dir {name}, or text-file for a "
                f"train.csv, .tsv or .jsonl in it."
            ) from None
        raise


def dense_run(config: RunConfig | Experiment) -> Run:
    """The run that trains the dense model of a config. Data that is not here yet is downloaded: its contents decide
    which run that is.

    Raises:
        DataError: the data is missing, or cannot be downloaded.
    """
    return _fetched(config).dense


def pruning_run(config: RunConfig | Experiment) -> Run:
    """The run that prunes by a config; data and errors are as of `dense_run`."""
    return _fetched(config).run


def _fetched(config: RunConfig | Experiment) -> Experiment:
    experiment = resolve(config)
    experiment.fetch()
    return experiment


def stored_settings(config: RunConfig) -> dict[str, Any]:
    """The fields of a config, which need not be complete, as they are written into a run."""
    before = str(config.weights).endswith(SETTINGS_FILE)
    if config.model and config.model_arg:
        config = msgspec.structs.replace(config, model_arg=arguments_told(models.get(config.model), config.model_arg))
    return as_stored(config, resolve(_first_phase(config)).dense if before else None)


def _place(config: RunConfig, origin: Origin) -> dict[str, Any]:
    """`weights` as they are found again: a file of settings by its path, a run by its key or else its folder."""
    if origin.kind == "config":
        return {"weights": str(Path(config.weights).absolute())}
    if origin.run is None:
        return {}
    at_home = origin.run.root.resolve() == Path(config.runs_dir or default("runs_dir")).resolve()
    return {"weights": origin.run.key if at_home else str(origin.run.folder)}


def _inherited(run: Run) -> dict[str, Any]:
    """What a second phase of training takes over from the run that it starts from: all but freezing."""
    names = [name for name in deciding("training") if name not in ("model", "weights", "freeze")]
    return {name: run.manifest.config[name] for name in names if name in run.manifest.config}


def _origin(config: RunConfig, entry: ModelEntry) -> Origin:
    """Where `--weights` points.

    Raises:
        ConfigError: it points at nothing that this model can start from.
    """
    weights = config.weights
    if weights in (None, "none"):
        return Origin("none")
    if weights in entry.published:
        return Origin("published")
    if weights in ("imagenet", "default"):
        raise ConfigError(f"--weights {weights}: there are none for {entry.name}.")
    if weights.endswith(SETTINGS_FILE):
        before = resolve(_first_phase(config))
        return Origin("config", before.dense, before)
    if is_weight_file(weights):
        if not Path(weights).is_file():
            raise ConfigError(f"--weights {weights}: there is no such file.")
        return Origin("file")
    if entry.hub and _is_other_folder(weights):
        return Origin("hub")
    return _of_run(weights, config, entry)


def _of_run(weights: str, config: RunConfig, entry: ModelEntry) -> Origin:
    """Where `--weights` points, if at no file or folder; raises as `_origin`."""
    try:
        run = find(config.runs_dir or default("runs_dir"), weights)
    except AmbiguousRun:
        raise
    except RunError as error:
        if entry.hub:
            return Origin("hub")
        files, names = ", ".join((*WEIGHT_FILES, SETTINGS_FILE)), ", ".join(("none", *entry.published))
        raise ConfigError(f"--weights {weights} is neither {names}, a file ({files}) nor a run. {error}") from None
    if run.key != weights and _is_other_folder(weights):
        raise ConfigError(
            f"--weights {weights} is a folder, and the beginning of {run.key}. Give the run's whole key, or a file."
        )
    if run.manifest.kind == "efficiency":
        raise ConfigError(f"--weights {weights} is a run of timings, which holds no weights.")
    return Origin("run", run)


def _is_other_folder(text: str) -> bool:
    """Whether a text is the path of a folder that is no run's."""
    return os.path.isdir(text) and not is_run_folder(text)  # noqa: PTH112 — any text may stand here


def _first_phase(config: RunConfig) -> RunConfig:
    """The training that comes first where `weights` names another config.

    It has its own settings of training; those of data and the seed are those of `config` where it says nothing of them,
    and machine and folders are.

    Raises:
        ConfigError: the file is missing or malformed, is about another model, or names a third config.
    """
    path = config.weights
    own = read_toml(path)
    if str(own.weights).endswith(SETTINGS_FILE):
        raise ConfigError(f"--weights {path} names a third config, {own.weights}: training has two phases at most.")
    shared = [name for name in deciding("training", "nothing") if name not in TRAINS]
    trains = RunConfig(**{name: getattr(own, name) for name in deciding("training")})
    first = merge(trains, RunConfig(**{name: getattr(config, name) for name in shared}))
    if without_folder(reference(first.model)) != without_folder(reference(config.model)):
        raise ConfigError(f"--weights {path} trains a {reference(first.model)}, not a {reference(config.model)}.")
    return first
