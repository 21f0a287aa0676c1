"""The one door: a RunConfig goes in and an Experiment comes out; nothing below takes a config or resolves again.

A field that was left empty gets its value from what the config starts from, else from the model, the dataset, or the
method, else its default. A config may start from the run of another one (`--weights FILE.toml`), which is then an
experiment of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import msgspec

from prunebench.config import (
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
    option_name,
    read_toml,
)
from prunebench.data.dataset import READING, Dataset, DatasetEntry, datasets, reads_by
from prunebench.errors import AmbiguousRun, ConfigError, DataError, RunError
from prunebench.experiment.dataset import load
from prunebench.experiment.goals import Goal, check_goals, parse
from prunebench.experiment.identity import as_stored, data_digest, identity
from prunebench.models.architecture import ModelEntry, arguments_told, models
from prunebench.models.normalisation import problem_of
from prunebench.pruning.registry import Criterion, Method, criteria, methods
from prunebench.registry import reference, without_folder
from prunebench.runs.index import find
from prunebench.runs.manifest import Manifest
from prunebench.runs.run import Run

TRAINS = (
    *("weights", "freeze", "epochs", "batch_size", "optimizer", "lr", "schedule", "gamma", "momentum"),
    *("weight_decay", "clip_norm"),
)
"""Settings that each of two phases of training has of its own; of what they train on, and where, both have the same."""

SEARCHED = 50
"""Iterations after which a search for a goal ends, unless others were asked for."""

HELD_OUT = 0.1
"""Share of the training data that is held out where a goal bounds accuracy, unless another was asked for."""


@dataclass(frozen=True)
class Origin:
    """Where the first model of a run comes from, as `weights` says.

    Attributes:
        kind: fresh weights, ImageNet's, a file, a run, a run that another config makes, or Hugging Face.
        run: the run; of another config even where it is not trained yet.
        before: the experiment of the other config.
    """

    kind: Literal["none", "imagenet", "file", "run", "config", "hub"]
    run: Run | None = None
    before: Experiment | None = None

    @property
    def pretrained(self) -> bool:
        """Whether the weights are published, or come from a file: they were trained elsewhere, on other data."""
        return self.kind in ("imagenet", "file", "hub")


@dataclass(frozen=True)
class Experiment:
    """What will be done: every setting, the entries that they name, and the runs that hold it."""

    settings: Settings
    model: ModelEntry
    data: DatasetEntry
    method: Method
    criterion: Criterion
    goals: tuple[Goal, ...]
    origin: Origin

    @property
    def first(self) -> Experiment | None:
        """The training that comes before this one's, where `weights` names another config."""
        return self.origin.before

    @property
    def phases(self) -> list[Experiment]:
        """The trainings, in their order: this one's, and before it the one that `weights` may name."""
        return [*([self.first] if self.first else []), self]

    @cached_property
    def dataset(self) -> Dataset:
        """The data, loaded when it is first asked for."""
        return load(self.data, self.settings)

    def fetch(self) -> None:
        """Have data that is not here yet downloaded: only then its contents are known, which decide the keys.

        Raises:
            DataError: it cannot be downloaded.
        """
        if self.data.downloads and not list(self.data.files(Path(self.settings.data_dir))):
            _ = self.dataset

    @cached_property
    def data_digest(self) -> str | None:
        """Digest of the data; None of data that its name alone decides."""
        return data_digest(self.data, self.settings, lambda: self.dataset)

    @cached_property
    def dense(self) -> Run:
        """The run that trains the dense model; every pruning run of the same training shares it.

        Raises:
            DataError: the data is missing, or an own loader returns other data each time.
        """
        run = Run(self.settings.runs_dir, self._identity("train", None))
        if self.data.own and not run.folder.exists():
            again = data_digest(self.data, self.settings, lambda: load(self.data, self.settings))
            if again != self.data_digest:
                raise DataError(
                    f"{reference(self.settings.dataset)} returned other data when it was called again, so no figure "
                    f"could be repeated. Have it return the same each time; it may ask for `seed`."
                )
        return run

    @cached_property
    def run(self) -> Run:
        """The run that prunes."""
        return self.dense.sibling(self._identity("prune", self.dense.key))

    def untrained_phases(self) -> list[Experiment]:
        """The trainings that are still to be done, in their order; none where the dense model is there."""
        return [] if self.dense.steps() else [phase for phase in self.phases if not phase.dense.steps()]

    def _identity(self, kind: Literal["train", "prune"], source: str | None) -> Manifest:
        return identity(kind, self.settings, self.origin.run, lambda: self.data_digest, source)


def resolve(config: RunConfig | Experiment) -> Experiment:
    """The experiment of a config: every name checked, every field filled. One that is resolved already stays as it is.

    Raises:
        ConfigError: a name is unknown, or two settings do not go together.
    """
    if isinstance(config, Experiment):
        return config
    if config.model is None:
        raise ConfigError(f"--model is missing. There are: {', '.join(models.names())}; or path.py:function.")
    entry = models.get(config.model)
    origin = _origin(config, entry)
    inherited = _inherited(origin.run) if origin.run is not None else {}
    method = methods.get(config.method or default("method"))
    usual = "reviews" if entry.reads == "text" else "digits"
    data = datasets.get(config.dataset or inherited.get("dataset") or entry.defaults.get("dataset") or usual)
    inherited = {name: value for name, value in inherited.items() if name not in _unread(data)}
    _check_reading(config, data)
    goals = tuple(parse(text) for text in config.until or ())
    values = {
        **{name: default(name) for name in field_types()},
        **{"criterion": method.criterion, "dataset": usual},
        **entry.defaults,
        **(entry.pretrained if origin.pretrained else {}),
        **(data.defaults or {}),
        **({} if origin.kind == "none" else {"augment": False}),
        **inherited,
    }
    if goals:
        values["iterations"] = SEARCHED
    if any(goal.of_score for goal in goals):
        values["validation"] = values["validation"] or HELD_OUT
    arguments = arguments_told(entry, config.model_arg or inherited.get("model_arg") or ())
    settings = Settings(**values | given(config) | _place(config, origin) | {"model_arg": arguments})
    experiment = Experiment(settings, entry, data, method, criteria.get(settings.criterion), goals, origin)
    _check(experiment)
    return experiment


def dense_run(config: RunConfig | Experiment) -> Run:
    """The run that trains the dense model of a config."""
    return resolve(config).dense


def pruning_run(config: RunConfig | Experiment) -> Run:
    """The run that prunes by a config."""
    return resolve(config).run


def stored_settings(config: RunConfig) -> dict[str, Any]:
    """The fields of a config, which need not be complete, as they are written into a run."""
    before = str(config.weights).endswith(SETTINGS_FILE)
    if config.model and config.model_arg:
        config = msgspec.structs.replace(config, model_arg=arguments_told(models.get(config.model), config.model_arg))
    return as_stored(config, resolve(_first_phase(config)).dense if before else None)


def check_fit(experiment: Experiment, kind: str | None) -> None:
    """Raise ConfigError where the model cannot read data of this kind ("images", "files", "text")."""
    reads, settings = experiment.model.reads, experiment.settings
    is_text = kind == "text"
    if reads is not None and kind is not None and (reads == "text") != is_text:
        fitting = "reviews, sst2 or text-file" if reads == "text" else "digits, cifar10 or image-folder"
        raise ConfigError(
            f"{settings.model} reads {reads}, but {settings.dataset} holds {'text' if is_text else 'images'}. "
            f"Choose a dataset such as {fitting}."
        )


def _check(experiment: Experiment) -> None:
    """Raise ConfigError where two settings do not go together."""
    settings, method = experiment.settings, experiment.method
    check_goals(experiment.goals, method, settings.validation)
    check_fit(experiment, experiment.data.reads)
    _check_normalisation(experiment)
    _check_epochs(experiment)
    if settings.round_to > 1 and not method.lowers_macs:
        raise ConfigError(
            f"--round-to is for structured pruning, which removes whole channels; {settings.method} pruning removes "
            f"none."
        )
    if experiment.origin.run is not None:
        _check_held_out(settings, experiment.origin.run)


def _unread(data: DatasetEntry) -> set[str]:
    """Settings of how files are read that a dataset has no use for."""
    return set(READING) - reads_by(data)


def _check_reading(config: RunConfig, data: DatasetEntry) -> None:
    """Raise ConfigError where it is said how files are read, to a dataset that would not hear of it."""
    given_in_vain = [name for name in sorted(_unread(data)) if getattr(config, name) not in (None, default(name))]
    if given_in_vain:
        raise ConfigError(
            f"{option_name(given_in_vain[0])}: the dataset {data.name} does not ask for it; it is for text-file, and "
            f"for loaders of your own with an argument {given_in_vain[0]}."
        )


def _check_normalisation(experiment: Experiment) -> None:
    """Raise ConfigError where --mean and --std are no statistics of images."""
    mean, std = experiment.settings.mean, experiment.settings.std
    if mean is None and std is None:
        return
    if mean is None or std is None:
        raise ConfigError("--mean and --std go together: give both, or neither.")
    if "text" in (experiment.model.reads, experiment.data.reads):
        raise ConfigError("--mean and --std normalise images, and this is text.")
    if problem := problem_of(mean, std):
        raise ConfigError(f"--mean {_listed(mean)} --std {_listed(std)}: {problem}.")


def _listed(values: tuple[float, ...]) -> str:
    return ",".join(f"{value:g}" for value in values)


def _check_epochs(experiment: Experiment) -> None:
    """Raise ConfigError where no epoch is asked for and there are no weights to be taken as they are.

    A user's own builder may bring weights of its own; that nothing is trained is then told by the plan.
    """
    if experiment.settings.epochs or experiment.origin.kind != "none":
        return
    if models.known(experiment.settings.model) is not None:
        raise ConfigError("--epochs 0 takes weights as they are, and there are none: give --weights, or epochs.")


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


def _check_held_out(settings: Settings, run: Run) -> None:
    """Raise ConfigError where the run that a config starts from has trained on what the config would hold out."""
    decide = ("validation", "seed", "limit_train")
    theirs = [run.manifest.config.get(name) for name in decide]
    if (
        settings.validation
        and run.manifest.config["dataset"] == reference(settings.dataset)
        and theirs != [getattr(settings, name) for name in decide]
    ):
        raise ConfigError(
            f"--validation {settings.validation:g}: run {run.key}, from which --weights starts, has trained on "
            f"data that would be held out here. Train it with the same {', '.join(map(option_name, decide))} first."
        )


def _origin(config: RunConfig, entry: ModelEntry) -> Origin:
    """Where `--weights` points.

    Raises:
        ConfigError: it points at nothing that this model can start from.
    """
    weights = config.weights
    if weights in (None, "none"):
        return Origin("none")
    if weights == "imagenet":
        if entry.published != "torchvision":
            raise ConfigError(f"--weights imagenet: there are none for {entry.name}.")
        return Origin("imagenet")
    if weights.endswith(SETTINGS_FILE):
        before = resolve(_first_phase(config))
        return Origin("config", before.dense, before)
    if is_weight_file(weights):
        if not Path(weights).is_file():
            raise ConfigError(f"--weights {weights}: there is no such file.")
        return Origin("file")
    try:
        run = find(config.runs_dir or default("runs_dir"), weights)
    except AmbiguousRun:
        raise
    except RunError as error:
        if entry.published == "huggingface":
            return Origin("hub")
        files = ", ".join((*WEIGHT_FILES, SETTINGS_FILE))
        raise ConfigError(
            f"--weights {weights} is neither none, imagenet, a file ({files}) nor a run. {error}"
        ) from None
    if run.manifest.kind == "efficiency":
        raise ConfigError(f"--weights {weights} is a run of timings, which holds no weights.")
    return Origin("run", run)


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
