"""Fill the empty fields of a RunConfig, once: option, file, model and dataset entry, method, default.

A config may start from the run of another one (`--weights FILE.toml`): whoever resolves knows which run a config makes.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal

import msgspec

from prunebench.config import (
    SETTINGS_FILE,
    WEIGHT_FILES,
    RunConfig,
    deciding,
    default,
    field_types,
    merge,
    option_name,
    read_toml,
)
from prunebench.data.dataset import datasets
from prunebench.errors import AmbiguousRun, ConfigError, RunError
from prunebench.experiment.goals import check_goals, parse
from prunebench.models.architecture import ModelEntry, models, takes
from prunebench.pruning.registry import criteria, methods
from prunebench.records import RunInfo
from prunebench.registry import content, reference, without_folder
from prunebench.runs.index import ANY_SEED, any_seed, find, identify
from prunebench.runs.run import Run

Source = Literal["none", "imagenet", "file", "run", "config", "hub"]
TRAINS = (
    *("weights", "freeze", "epochs", "batch_size", "optimizer", "lr", "schedule", "gamma", "momentum"),
    *("weight_decay", "clip_norm"),
)
"""Settings that each of two phases of training has of its own; of what they train on, and where, both have the same."""

NAMES = ("model", "dataset", "criterion")
"""Settings whose values may be functions."""

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
    if source == "config":
        given["weights"] = str(Path(str(config.weights)).absolute())
    elif run is not None:
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
    """Where `--weights` points: nowhere, ImageNet, a file, a run, another config, or Hugging Face.

    The second value is the run, that of the other config even where it is not trained yet.

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
    if weights.endswith(SETTINGS_FILE):
        return "config", dense_run(_first_phase(config))
    if weights.endswith(WEIGHT_FILES):
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
        files = ", ".join((*WEIGHT_FILES, SETTINGS_FILE))
        raise ConfigError(
            f"--weights {weights} is neither none, imagenet, a file ({files}) nor a run. {error}"
        ) from None


def _first_phase(config: RunConfig) -> RunConfig:
    """The training that comes first where `weights` names another config.

    It has its own settings of training; those of data and the seed are those of `config` where it says nothing of them,
    and machine and folders are.

    Raises:
        ConfigError: the file is missing or malformed, is about another model, or names a third config.
    """
    path = str(config.weights)
    own = read_toml(path)
    if str(own.weights).endswith(SETTINGS_FILE):
        raise ConfigError(f"--weights {path} names a third config, {own.weights}: training has two phases at most.")
    shared = [name for name in deciding("training", "nothing") if name not in TRAINS]
    trains = RunConfig(**{name: getattr(own, name) for name in deciding("training")})
    first = merge(trains, RunConfig(**{name: getattr(config, name) for name in shared}))
    if config.model is not None and without_folder(reference(first.model)) != without_folder(reference(config.model)):
        raise ConfigError(f"--weights {path} trains a {reference(first.model)}, not a {reference(config.model)}.")
    return first


def phases(config: RunConfig) -> list[RunConfig]:
    """The trainings of a resolved config, in their order: itself, and before it the one that `weights` may name."""
    first = [resolve(_first_phase(config))] if str(config.weights).endswith(SETTINGS_FILE) else []
    return [*first, config]


def dense_run(config: RunConfig) -> Run:
    """The run that trains the dense model of a config; every pruning run of the same training shares it."""
    config = resolve(config)
    return Run(str(config.runs_dir), identity("train", config, deciding("training"), NAMES[:2], None))


def settings(config: RunConfig) -> dict[str, Any]:
    """The fields of a config as they are written into a run: functions as references, tuples as lists, for another
    config the key of its run."""
    found = {name: getattr(config, name) for name in field_types()}
    named = {name: reference(found[name]) for name in NAMES if found[name] is not None}
    if str(config.weights).endswith(SETTINGS_FILE):
        named["weights"] = dense_run(_first_phase(config)).info.key
    return {name: list(v) if isinstance(v, tuple) else v for name, v in {**found, **named}.items()}


def identity(kind: str, config: RunConfig, fields: list[str], names: tuple[str, ...], dense: str | None) -> RunInfo:
    """What a run of a resolved config is: the `fields` decide it, and the contents of files that `names` refer to."""
    values = settings(config)
    chosen = {name: without_folder(values[name]) for name in fields}
    digests = {name: content(getattr(config, name)) for name in names}
    source, start = weights_source(config, models.get(config.model))
    if start is not None:
        digests["weights"] = f"step {max(start.steps(), default=0)}"
        if start.info.config.get("seed") == config.seed:
            values[ANY_SEED] = any_seed(start.info)
    elif source in ("file", "hub"):
        digests["weights"] = _weights_digest(Path(str(config.weights)))
    digests["data"] = _listing(config)
    contents = {name: digest for name, digest in digests.items() if digest is not None}
    return identify(kind, values, chosen, contents, dense)


def _weights_digest(path: Path) -> str | None:
    """SHA-256 of a weight file, or of all files of a folder with their names; None for a name of Hugging Face."""
    if not path.exists():
        return None
    total = hashlib.sha256()
    for file in [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file()):
        with file.open("rb") as stream:
            total.update(f"{file.name} {hashlib.file_digest(stream, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()


def _listing(config: RunConfig) -> str | None:
    """SHA-256 of the names and sizes of the local files that the dataset reads."""
    folder = Path(str(config.data_dir))
    files = sorted(datasets.get(config.dataset).files(folder))
    text = "".join(f"{file.relative_to(folder)} {file.stat().st_size}\n" for file in files)
    return hashlib.sha256(text.encode()).hexdigest() if files else None
