"""Checks: settings that do not go together are refused, before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prunebench.config import OF_RETRAINING, OF_TUNING, OF_UNITS, RunConfig, Settings, default, option_name
from prunebench.data.dataset import READING, Dataset, DatasetEntry, Kind, reads_by
from prunebench.errors import ConfigError
from prunebench.experiment.experiment import Experiment
from prunebench.experiment.goals import check_goals
from prunebench.experiment.identity import OF_WEIGHTS
from prunebench.models.normalisation import problem_of
from prunebench.pruning.amounts import named, schedules, target
from prunebench.pruning.granularity import read_pattern
from prunebench.pruning.registry import Method
from prunebench.pruning.requests import layer_fractions
from prunebench.pruning.shares import of_units, of_weights
from prunebench.pruning.turns import check_solving
from prunebench.registry import parameters, reference
from prunebench.runs.commands import as_options
from prunebench.runs.environment import check_processes
from prunebench.runs.run import Run
from prunebench.tracking.trackers import check_tracker
from prunebench.training.policies import Policy, policies

USED_BY: dict[str, tuple[Kind, ...]] = {
    "sequence_length": ("text",),
    **dict.fromkeys(("image_size", "augment", "cache"), ("images", "files")),
    **dict.fromkeys(("resize", "background", "white"), ("files",)),
}
"""Settings of data, and the kinds of data that they change."""


def check(experiment: Experiment) -> None:
    """Raise ConfigError where two settings do not go together."""
    settings, method = experiment.settings, experiment.method
    _ = experiment.ranking  # which is imported now, before anything takes long
    check_goals(experiment.goals, method, settings.validation)
    check_fit(experiment, experiment.data.reads)
    _check_normalisation(experiment)
    _check_epochs(experiment)
    check_processes("--threads", settings.threads)
    check_processes("--workers", settings.workers)
    for name in settings.track:
        check_tracker(name)
    _check_devices(settings)
    check_pruning(settings, method)
    _check_amounts(settings, method)
    layer_fractions(settings.layer_fraction)
    _check_retraining(settings, experiment.policy)
    if method.masks:
        pattern = None if settings.pattern is None else read_pattern(settings.pattern)
        check_solving(experiment.ranking, settings.scope, pattern)
    if experiment.origin.run is not None:
        _check_held_out(settings, experiment.origin.run)


def _check_devices(settings: Settings) -> None:
    """Raise ConfigError where several devices cannot train together, or not as one would."""
    if settings.devices == 1:
        return
    check_processes("--devices", settings.devices)
    if settings.device == "mps":
        raise ConfigError(f"--devices {settings.devices}: PyTorch has no way for several of mps. Leave it out.")
    if settings.class_weights != "none" and settings.retrain == "distil":
        raise ConfigError(
            f"--devices {settings.devices}: with --class-weights {settings.class_weights} the two parts of the loss of "
            f"--retrain distil weigh a device's samples differently. Leave one of the three out."
        )


def check_pruning(settings: Settings, method: Method) -> None:
    """Raise ConfigError where a setting is given that a method has no use for."""
    if settings.round_to > 1 and not method.narrows:
        raise ConfigError(
            f"--round-to is for structured pruning, which removes whole channels; {settings.method} pruning removes "
            f"none."
        )
    if method.masks:
        of_weights(settings.scope)
    for name in OF_WEIGHTS:
        if getattr(settings, name) is not None and not (method.masks or (name == "scope" and method.narrows)):
            raise ConfigError(
                f"{option_name(name)} is for unstructured pruning, which ranks single weights; {settings.method} "
                f"pruning ranks none. Leave it out."
            )
    if settings.floor and method.masks and not has_floor(settings.scope, settings.pattern):
        scope = settings.scope or default("scope")
        how = f"--pattern {settings.pattern}" if of_weights(scope).spread is None else f"--scope {scope}"
        raise ConfigError(f"--floor is where layers compete, and {how} says what each of them keeps. Leave it out.")
    for name in OF_UNITS:
        if getattr(settings, name) != default(name) and not (method.narrows or (name == "floor" and method.masks)):
            raise ConfigError(
                f"{option_name(name)} is for structured pruning, which removes whole units; {settings.method} pruning "
                f"removes none. Leave it out."
            )

    if method.narrows:
        _check_between_layers(settings)


def has_floor(scope: str | None, pattern: str | None) -> bool:
    """Whether single weights of all layers compete, so that one may lose all of its own."""
    decides = pattern is not None and read_pattern(pattern).left is not None
    return of_weights(scope).spread is None and not decides


def _check_between_layers(settings: Settings) -> None:
    """Raise ConfigError where it is said how layers compete, and they do not."""
    scope = of_units(settings.scope)
    for name in ("by", "group_normalisation"):
        if getattr(settings, name) != default(name) and not scope.compares:
            raise ConfigError(
                f"{option_name(name)} compares units of different layers, and with --scope {scope.name} each layer's "
                f"compete with their own alone: give --scope global or isomorphic."
            )
    if settings.layer_fraction and scope.pooled:
        raise ConfigError(
            f"--layer-fraction says what a layer loses, and with --scope {scope.name} its scores do: give --floor, or "
            f"leave out --scope."
        )


def _check_amounts(settings: Settings, method: Method) -> None:
    """Raise ConfigError where it is not clear how much is to go, or a method cannot count it."""
    targets = [option_name(name) for name in named(settings)]
    schedule = schedules.get(settings.sparsity_schedule)
    if settings.pattern is not None and method.masks and of_weights(settings.scope).in_rows:
        raise ConfigError(
            f"--scope {settings.scope} ranks single weights, and --pattern {settings.pattern} has none: give another."
        )
    if settings.pattern is not None and not method.masks:
        raise ConfigError(
            f"--pattern {settings.pattern} is for unstructured pruning, which masks single weights: leave it out, or "
            f"give --method unstructured."
        )
    if "--pattern" in targets:
        _check_whole_pattern(settings)
    if not targets and settings.sparsity_schedule != default("sparsity_schedule"):
        raise ConfigError(
            f"--sparsity-schedule {schedule.name} is a way to a target: give --sparsity, --compression or --macs too."
        )
    if not targets:
        return
    beside = [name for name in ("fraction", "layer_fraction", "until") if getattr(settings, name) != default(name)]
    if others := targets[1:] + [option_name(name) for name in beside]:
        raise ConfigError(f"{targets[0]} says how much goes in all, and {others[0]} says otherwise: give one of them.")
    if not method.removes:
        raise ConfigError(f"{targets[0]}: --method {method.name} removes nothing. Leave it out.")
    if (settings.macs and not method.narrows) or (settings.compression and method.shortens):
        raise ConfigError(f"{targets[0]} is not for {method.name} pruning: give --sparsity, or --method structured.")
    if schedule.at_once and settings.iterations > 1:
        raise ConfigError(f"--sparsity-schedule {schedule.name} takes all in one iteration: leave out --iterations.")


def _check_whole_pattern(settings: Settings) -> None:
    """Raise ConfigError where something is given that a pattern such as 2:4 decides by itself."""
    usual = {"scope": "layerwise", "iterations": 1, "sparsity_schedule": default("sparsity_schedule")}
    for name, value in usual.items():
        if getattr(settings, name) != value:
            raise ConfigError(
                f"--pattern {settings.pattern} takes the same of every layer, at once: leave out {option_name(name)}."
            )


def _check_retraining(settings: Settings, policy: Policy) -> None:
    """Raise ConfigError where a setting is given that a way of retraining has no use for, or it has no meaning."""
    for name in OF_RETRAINING:
        if getattr(settings, name) != default(name) and name not in policy.uses:
            fit = " and ".join(each for each in policies.names() if name in policies.get(each).uses)
            raise ConfigError(f"{option_name(name)} is for --retrain {fit}, and this is {policy.name}. Leave it out.")
    if settings.every is not None:
        _check_gradual(settings, policy)
    if problem := policy.unfit(settings):
        raise ConfigError(f"--retrain {policy.name}: {problem}.")
    if settings.finetune_updates and not settings.finetune_epochs:
        raise ConfigError("--finetune-updates: --finetune-epochs 0 trains nothing. Leave one of the two out.")
    if settings.finetune_warmup and settings.finetune_schedule == "one-cycle":
        raise ConfigError("--finetune-warmup: one-cycle has a warm-up of its own. Leave it out, or give cosine.")


def _check_gradual(settings: Settings, policy: Policy) -> None:
    """Raise ConfigError where pruning cannot go on while a model is trained."""
    if target(settings) is None:
        raise ConfigError("--every prunes gradually, towards a target: give --sparsity, --compression or --macs too.")
    if settings.finetune_epochs != default("finetune_epochs"):
        raise ConfigError("--every says how many epochs there are between two steps: leave out --finetune-epochs.")
    if settings.finetune_updates:
        raise ConfigError("--every says how many epochs there are between two steps: leave out --finetune-updates.")
    if not policy.tunes(settings.epochs):
        raise ConfigError(f"--every trains by the settings of fine-tuning, and --retrain {policy.name} does not.")


def check_tuning(config: RunConfig, settings: Settings, usual: Mapping[str, Any]) -> None:
    """Raise ConfigError where a setting of fine-tuning is given to a way of retraining that has no use for it.

    Args:
        usual: what settings are where they are not given.
    """
    policy = policies.get(settings.retrain)
    if policy.tunes(settings.epochs):
        return
    for name in OF_TUNING:
        given = getattr(config, name)
        if given not in (None, usual[name]) and getattr(settings, name) is not None:
            trains = "as the dense model was trained" if policy.recipe_of(settings).epochs else "nothing"
            raise ConfigError(f"{option_name(name)}: --retrain {policy.name} trains {trains}. Leave it out.")


def unread(data: DatasetEntry) -> set[str]:
    """Settings of how files are read that a dataset has no use for."""
    return set(READING) - reads_by(data)


def check_folder(config: RunConfig, data: DatasetEntry, reads: str | None) -> None:
    """Raise ConfigError where a folder of data is given, and a bundled dataset stands in for one that was not named."""
    if config.data_dir is None or config.dataset is not None or data.own or "data_dir" in parameters(data.load):
        return
    fitting = {"text": ["text-file"], "images": ["image-folder"]}.get(reads or "", ["image-folder", "text-file"])
    raise ConfigError(
        f"--data-dir {config.data_dir}: no dataset is named, and {data.name}, which is taken then, reads none. Give "
        f"{' or '.join(f'--dataset {name}' for name in fitting)} too."
    )


def check_reading(config: RunConfig, data: DatasetEntry) -> None:
    """Raise ConfigError where it is said how files are read, to a dataset that would not hear of it."""
    given_in_vain = [name for name in sorted(unread(data)) if getattr(config, name) not in (None, default(name))]
    if given_in_vain:
        option = as_options({given_in_vain[0]: getattr(config, given_in_vain[0])}).split()[0]
        raise ConfigError(
            f"{option}: the dataset {data.name} does not ask for it; it is for text-file, and "
            f"for loaders of your own with an argument {given_in_vain[0]}."
        )


def check_used(config: RunConfig, experiment: Experiment) -> None:
    """Raise ConfigError where a setting is given that this kind of data has no use for, as it would make a new run; a
    command that repeats a run may give what it would be anyhow."""
    reads = experiment.data.reads
    if reads is None:
        return
    for name, kinds in USED_BY.items():
        usual = (None, default(name), experiment.model.defaults.get(name), (experiment.data.defaults or {}).get(name))
        if getattr(config, name) not in usual and reads not in kinds:
            has = {"text": "texts", "images": "images in memory", "files": "image files"}
            raise ConfigError(
                f"{option_name(name)} is for {' and '.join(has[kind] for kind in kinds)}, and {experiment.data.name} "
                f"holds {has[reads]}: leave it out."
            )


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


def check_weighted(settings: Settings, dataset: Dataset) -> None:
    """Raise ConfigError where classes are to be weighted in a loss that knows no weights of classes."""
    if settings.class_weights == "none":
        return
    option = f"--class-weights {settings.class_weights} weighs the cross-entropy of one label out of several"
    if dataset.loss is not None:
        raise ConfigError(f"{option}, and {reference(settings.dataset)} has a loss of its own: weigh it there.")
    if dataset.is_multi_label:
        raise ConfigError(
            f"{option}, and samples of {reference(settings.dataset)} may have several labels: give the dataset a loss, "
            f"such as torch.nn.BCEWithLogitsLoss(pos_weight=…)."
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


def check_trains(experiment: Experiment) -> None:
    """Raise ConfigError where no epoch is asked for and there are no weights to be taken as they are.

    A user's own builder may bring weights of its own; that nothing is trained is then told by the plan.
    """
    if experiment.fresh:
        raise ConfigError("--epochs 0 takes weights as they are, and there are none: give --weights, or epochs.")


def _check_epochs(experiment: Experiment) -> None:
    """Raise ConfigError where fresh weights are never trained, neither before they are pruned nor afterwards."""
    if experiment.fresh and not experiment.retrained:
        raise ConfigError(
            "--epochs 0 takes weights as they are, and there are none: give --weights, or epochs; or "
            "--finetune-epochs, to train fresh weights once they are pruned."
        )


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
