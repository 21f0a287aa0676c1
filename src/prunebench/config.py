"""RunConfig: what to do, written down once.

A field is a command-line option, a TOML key and a column of the results. Its annotation holds its type, bounds
and help text; `extra` says what it decides (the key of a run is a hash of what decides its result) and the
default where no model, dataset or method has a better one. `None` means "not given".
"""

from __future__ import annotations

import difflib
import math
import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from prunebench.errors import ConfigError
from prunebench.reading import open_plain

WEIGHT_FILES = (".pth", ".pt", ".safetensors", ".bin", ".th", ".ckpt", ".tar")
SETTINGS_FILE = ".toml"
"""What names of files end with that `weights` may be: weights, or settings that are trained by first."""

MANY = 1_000_000
"""Iterations and epochs at most."""

LONGEST = 2**20
"""Bytes of a file of settings at most; a device has no end."""

KINDS = {"float": "a number", "int": "a whole number", "str": "a text", "bool": "true or false", "array": "a list"}
"""What users call types."""

Decides = Literal["training", "pruning", "nothing"]

Unit = Literal["channels", "neurons", "heads", "groups", "experts"]
"""Kinds of units that structured pruning removes."""


def _training(help: str, default: Any = None, *, fitted: bool = False, **bounds: Any) -> msgspec.Meta:
    """A field that decides training. `fitted`: models or datasets have a value of their own, before the default."""
    return _field("training", help, default, fitted, bounds)


def _pruning(help: str, default: Any = None, *, fitted: bool = False, **bounds: Any) -> msgspec.Meta:
    """A field that decides pruning and fine-tuning."""
    return _field("pruning", help, default, fitted, bounds)


def _neutral(help: str, default: Any = None, **bounds: Any) -> msgspec.Meta:
    """A field that decides no result."""
    return _field("nothing", help, default, False, bounds)


def _field(decides: Decides, help: str, default: Any, fitted: bool, bounds: dict[str, Any]) -> msgspec.Meta:
    return msgspec.Meta(description=help, extra={"decides": decides, "default": default, "fitted": fitted}, **bounds)


NOT_GIVEN: Any = None
"""A field of a config that was left empty, for `resolve` to fill; its type is that of the value it then has."""


class RunConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Everything that decides a run. Frozen; validated when made; builds nothing and reads no disk.

    Fields may be empty (`NOT_GIVEN`, that is None); `resolve` fills them once. Fractions are between 0 and 1.

    Raises:
        ConfigError: a value has the wrong type or is out of bounds; the message names the field.
    """

    # fmt: off
    # What
    model: Annotated[Any, _training("Model: a name, or path.py:function.  [needed, here or in a file of settings, unless a run is named]")] = NOT_GIVEN
    dataset: Annotated[Any, _training("Dataset: a name, or path.py:function.  [default: digits; reviews for models that read text]")] = NOT_GIVEN
    data_dir: Annotated[str, _neutral("Where datasets are, or are downloaded to.", "data")] = NOT_GIVEN
    weights: Annotated[str,
        _training("Start from: none, default or imagenet (as the model's library has them), a Hugging Face name or folder, a weight file such as .pth or .safetensors, "
                  "a run, or a .toml of settings to train by first.", "none")] = NOT_GIVEN
    model_arg: Annotated[tuple[str, ...],
        _training("Argument of the model's builder, such as stem=small of the ResNets; repeatable.", ())] = NOT_GIVEN
    output: Annotated[str,
        _training("Which of the tensors that the model returns are its scores: a key, a field, or a number from 0, such as aux or 1.  "
                  "[default: logits, else the first of shape (batch, classes)]")] | None = None

    # Data
    image_size: Annotated[int,
        _training("Height and width of an image, pixels.", 32, fitted=True, ge=1)] = NOT_GIVEN
    resize: Annotated[Literal["auto", "crop", "fit", "none"],
        _training("What is done to image files: crop, as ImageNet's evaluation does (shorter side to 8/7 of the size, then the "
                  "centre); fit (shorter side to the size, then the centre); none. auto is fit where most training images are no "
                  "larger than the size, else crop, and spares what has the size.", "auto")] = NOT_GIVEN
    background: Annotated[str,
        _training("Colour under transparent pixels of image files: a name, or #rrggbb.", "white")] = NOT_GIVEN
    white: Annotated[float,
        _training("Value of white in image files of more than 8 bits.  [default: what their format says]", gt=0)] | None = None
    sequence_length: Annotated[int,
        _training("Longest sentence, tokens; the rest is cut.", 128, fitted=True, ge=4)] = NOT_GIVEN
    text_column: Annotated[tuple[str, ...],
        _training("Column of the text, a name or a number from 1; repeatable: several are joined.  [default: text or sentence]")] | None = None
    label_column: Annotated[str, _training("Column of the label, a name or a number from 1.  [default: label]")] | None = None
    header: Annotated[bool, _training("Whether the first row of a .tsv or .csv names the columns.  [default: header]")] | None = None
    encoding: Annotated[str, _training("What text files are written in, such as cp1252.  [default: UTF-8]")] | None = None
    trust_data: Annotated[bool,
        _neutral("Take what is asked about in text files as it is, such as classes of a single sample.", False)] = NOT_GIVEN
    augment: Annotated[bool, _training("Random crop and flip of training images.", False, fitted=True)] = NOT_GIVEN
    limit_train: Annotated[int, _training("Take a fixed stratified subset of the training data.", ge=1)] | None = None
    limit_test: Annotated[int, _training("Take a fixed stratified subset of the test data.", ge=1)] | None = None
    validation: Annotated[float,
        _training("Share of the training data that is held out to select on, and never trained on.", 0.0, ge=0, lt=1)] = NOT_GIVEN
    train_eval: Annotated[int,
        _training("Training samples that training accuracy is measured on, at most.", 10_000, ge=1)] = NOT_GIVEN
    workers: Annotated[int, _neutral("Processes that read folders of images.", 2, ge=0)] = NOT_GIVEN
    cache: Annotated[Literal["auto", "on", "off"],
        _neutral("Keep images in memory once they were decoded and resized, a byte a value: auto where they take a quarter of what is "
                 "free at most.", "auto")] = NOT_GIVEN

    mean: Annotated[tuple[float, ...],
        _training("Mean of each channel that images, scaled to 0 to 1, are normalised with, such as 0.49,0.48,0.45.  "
                  "[default: the weights', else the data's]")] | None = None
    std: Annotated[tuple[float, ...], _training("Standard deviation of each channel, beside --mean.")] | None = None

    # Training
    seed: Annotated[int, _training("Seed of everything random.", 0, ge=0, le=2**63 - 1)] = NOT_GIVEN
    epochs: Annotated[int, _training("Epochs of training; 0 takes --weights as they are.", 10, fitted=True, ge=0, le=MANY)] = NOT_GIVEN
    batch_size: Annotated[int, _training("Samples per training step.", 64, fitted=True, ge=1)] = NOT_GIVEN
    optimizer: Annotated[Literal["sgd", "adam", "adamw"], _training("Optimizer.", "adamw", fitted=True)] = NOT_GIVEN
    lr: Annotated[float, _training("Learning rate, its peak.", 1e-3, fitted=True, gt=0)] = NOT_GIVEN
    schedule: Annotated[Literal["constant", "cosine", "exponential", "one-cycle"],
        _training("Learning-rate schedule of training.", "one-cycle", fitted=True)] = NOT_GIVEN
    gamma: Annotated[float, _training("Decay per epoch of the exponential schedule.", 0.9, gt=0, le=1)] = NOT_GIVEN
    momentum: Annotated[float, _training("Momentum of SGD.", 0.9, ge=0, lt=1)] = NOT_GIVEN
    weight_decay: Annotated[float, _training("Weight decay.", 0.0, fitted=True, ge=0)] = NOT_GIVEN
    clip_norm: Annotated[float,
        _training("Clip the gradient to this norm; 0 is off.", 0.0, fitted=True, ge=0)] = NOT_GIVEN
    class_weights: Annotated[Literal["none", "balanced"],
        _training("Weight of a class in the loss: none; balanced is n / (k × samples of the class), so that all count alike.", "none")] = NOT_GIVEN
    freeze: Annotated[bool, _training("Train the classifier alone.", False)] = NOT_GIVEN
    memory_format: Annotated[Literal["contiguous", "channels_last"],
        _training("Memory layout of images and weights.", "contiguous", fitted=True)] = NOT_GIVEN
    dtype: Annotated[Literal["fp32", "tf32", "bf16", "fp16"],
        _training("Arithmetic: fp32; tf32, in which a GPU rounds the factors of fp32 products; bf16 and fp16 are autocast over fp32 "
                  "weights, fp16 with loss scaling, which take less memory; whether less time depends on machine and model.", "fp32")] = NOT_GIVEN

    # Pruning
    method: Annotated[str, _pruning("How: unstructured, structured or depth (whole residual blocks).", "structured")] = NOT_GIVEN
    criterion: Annotated[Any,
        _pruning("What goes first: l1, l2, random and others (`prunebench list` has all), or path.py:function.  [default: the method's]")] = NOT_GIVEN
    fraction: Annotated[float, _pruning("Removed per iteration, of what is left.", 0.1, gt=0, lt=1)] = NOT_GIVEN
    iterations: Annotated[int, _neutral("Times to prune and fine-tune.", 10, ge=1, le=MANY)] = NOT_GIVEN
    sparsity: Annotated[float,
        _pruning("Target, instead of --fraction: the share of the original weights, or units of each layer, that is gone after all "
                 "iterations.", gt=0, lt=1)] | None = None
    compression: Annotated[float,
        _pruning("Target, instead of --fraction: how many times fewer weights there are in the end, or of units removed, "
                 "parameters.", gt=1, le=MANY)] | None = None
    macs: Annotated[float,
        _pruning("Target of structured pruning, instead of --fraction: the share of multiply-accumulates that is left in the end.",
                 gt=0, lt=1)] | None = None
    sparsity_schedule: Annotated[str,
        _pruning("How a target is reached in --iterations steps: geometric, one-shot, linear, cubic or cosine.", "geometric")] = NOT_GIVEN
    every: Annotated[int,
        _pruning("Prune gradually while training: after every so many epochs, in place of --finetune-epochs, by a schedule of the learning rate "
                 "that runs on over all iterations towards the target.", ge=1, le=MANY)] | None = None
    scope: Annotated[str,
        _pruning("What is ranked with what: all weights, or units, of the model (global), or those of each layer, of which the same "
                 "share goes (layerwise), or of each row of it; or one that is spread by lamp and others (`prunebench list` has all).  "
                 "[default: the criterion's, else global; layerwise of structured pruning]", "global")] = NOT_GIVEN
    pattern: Annotated[str,
        _pruning("Of unstructured pruning: which weights go together, or compete: N:M such as 2:4, of which N stay; blocks of outputs x inputs "
                 "such as 4x1 or 16x16; row.")] | None = None
    targets: Annotated[Literal["weights", "all"],
        _pruning("Of unstructured pruning: weights that are multiplied with data, or all parameters of every layer.", "weights")] = NOT_GIVEN
    calibration: Annotated[int,
        _pruning("Training samples, a fixed stratified subset, that criteria look at which need data, at most.", 1024, ge=1)] = NOT_GIVEN
    include: Annotated[tuple[str, ...],
        _pruning("Prune only modules that match this glob; repeatable.", ())] = NOT_GIVEN
    exclude: Annotated[tuple[str, ...], _pruning("Spare modules that match this glob; repeatable.", ())] = NOT_GIVEN
    round_to: Annotated[int,
        _pruning("Channels and neurons that stay are a multiple of this; 8 suits most hardware, 1 is off.", 1, ge=1)] = NOT_GIVEN
    prune: Annotated[tuple[Unit, ...],
        _pruning("Of structured pruning: units to remove, of channels, neurons, heads, groups (of grouped convolutions) and "
                 "experts; repeatable.  [default: all]", ())] = NOT_GIVEN
    layer_fraction: Annotated[tuple[str, ...],
        _pruning("Of structured pruning: another fraction for modules that match a glob, such as 'layer4.*=0.3'; repeatable, the "
                 "last one that matches counts.", ())] = NOT_GIVEN
    floor: Annotated[float,
        _pruning("What every layer keeps at least: of structured pruning, this share of its original units; of single weights that are "
                 "ranked over all layers, this share of what it would keep if all lost alike.  [default: 0; 0.1 where layers "
                 "compete]", 0.0, ge=0, lt=1)] = NOT_GIVEN
    by: Annotated[Literal["units", "macs", "params", "latency"],
        _pruning("Of structured pruning whose layers compete: rank units by their score, or by that per multiply-accumulate, "
                 "parameter, or millisecond (measured once on this machine) that goes with them.", "units")] = NOT_GIVEN
    group_reduction: Annotated[Literal["sum", "mean", "norm", "max", "abs-sum"],
        _pruning("Of structured pruning: what the scores of its weights come to as that of a unit.  [default: the criterion's own, "
                 "sum as a rule]")] | None = None
    group_normalisation: Annotated[Literal["none", "mean", "max", "norm"],
        _pruning("Of structured pruning whose layers compete: what the scores of a layer's units are divided by, so that they "
                 "compare.  [default: mean]", "none")] = NOT_GIVEN
    through_norms: Annotated[bool,
        _pruning("Of structured pruning: remove channels also where a layer norm reads them, which changes what it "
                 "averages over.", False)] = NOT_GIVEN
    until: Annotated[tuple[str, ...],
        _neutral("Stop at the first step that meets this goal, such as 'macs<=0.5'; repeatable.", ())] = NOT_GIVEN
    retrain: Annotated[str,
        _pruning("How a pruned model recovers: finetune, lr-rewind, weight-rewind, distil and others (`prunebench list` has all).", "finetune")] = NOT_GIVEN
    rewind_epoch: Annotated[int,
        _pruning("Of lr-rewind and weight-rewind: finished epochs of the dense training to go back to; 0 is its beginning.", 0, ge=0, le=MANY)] = NOT_GIVEN
    distil_temperature: Annotated[float,
        _pruning("Of distil: what logits are divided by before their softmax.", 4.0, gt=0)] = NOT_GIVEN
    distil_weight: Annotated[float,
        _pruning("Of distil: share of the loss that is the distance from the dense model; the task's has the rest.", 0.9, gt=0, le=1)] = NOT_GIVEN
    bn_samples: Annotated[int,
        _pruning("Of bn-reestimate: training samples, a fixed stratified subset, that statistics are of, at most.", 512, ge=2)] = NOT_GIVEN
    finetune_epochs: Annotated[int,
        _pruning("Epochs of fine-tuning per iteration; 0 is none.  [default: 1, and at least --finetune-updates]", 1, ge=0, le=MANY)] = NOT_GIVEN
    finetune_updates: Annotated[int,
        _pruning("Fine-tune for so many batches at least, in whole epochs: of little data one epoch is too few to do good.  "
                 "[default: 60; 0 where --finetune-epochs is given]", 0, ge=0, le=MANY)] = NOT_GIVEN
    finetune_lr: Annotated[float, _pruning("Learning rate of fine-tuning.", 3e-4, fitted=True, gt=0)] = NOT_GIVEN
    finetune_optimizer: Annotated[Literal["sgd", "adam", "adamw"],
        _pruning("Optimizer of fine-tuning.", "adamw", fitted=True)] = NOT_GIVEN
    finetune_schedule: Annotated[Literal["constant", "cosine", "exponential", "one-cycle"],
        _pruning("Learning-rate schedule of fine-tuning.", "cosine")] = NOT_GIVEN
    finetune_warmup: Annotated[float,
        _pruning("Share of fine-tuning's batches in which the learning rate rises in a line, from 4 % of it; the schedule has the rest.", 0.0, ge=0, lt=1)] = NOT_GIVEN
    finetune_batch_size: Annotated[int,
        _pruning("Samples per fine-tuning step.", 64, fitted=True, ge=1)] = NOT_GIVEN
    finetune_momentum: Annotated[float,
        _pruning("Momentum of SGD in fine-tuning.  [default: as in training]", ge=0, lt=1)] | None = None
    finetune_weight_decay: Annotated[float,
        _pruning("Weight decay of fine-tuning.  [default: as in training]", ge=0)] | None = None
    finetune_clip_norm: Annotated[float,
        _pruning("Clip the gradient of fine-tuning to this norm; 0 is off.  [default: as in training]", ge=0)] | None = None

    # Machine and files
    device: Annotated[Literal["auto", "cpu", "cuda", "mps"],
        _neutral("Where to compute; auto is CUDA if there, else CPU.", "auto")] = NOT_GIVEN
    threads: Annotated[int, _neutral("CPU threads.  [default: all cores]", ge=1)] | None = None
    devices: Annotated[int, _neutral("Devices, each with a process of its own, that train and evaluate a run together.", 1, ge=1)] = NOT_GIVEN
    deterministic: Annotated[bool,
        _neutral("PyTorch's deterministic algorithms, so that a run on CUDA can be repeated to the bit.", False)] = NOT_GIVEN
    checkpoint_every: Annotated[float,
        _neutral("Keep the progress of training every so many minutes, and when it ends or is stopped.", 5.0, gt=0)] = NOT_GIVEN
    keep: Annotated[Literal["all", "last", "records"],
        _neutral("Checkpoints that a pruning run keeps: of all steps, of the last, or none once it is finished.", "all")] = NOT_GIVEN
    runs_dir: Annotated[str, _neutral("Where runs are kept.", "runs")] = NOT_GIVEN
    track: Annotated[tuple[str, ...],
        _neutral("Tell a tracker of each epoch and step: tensorboard, mlflow, wandb, or path.py:Tracker; repeatable.", ())] = NOT_GIVEN
    results_dir: Annotated[str, _neutral("Where the text matrices are written.", "performance")] = NOT_GIVEN
    # fmt: on

    def __post_init__(self) -> None:
        check_fields(self)


class Settings(RunConfig, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A RunConfig that is complete: no field is empty, but for limits that were not asked for."""


@cache
def field_types(kind: type[msgspec.Struct] = RunConfig) -> dict[str, Any]:
    """Name of every field of a config → its annotated type, in order."""
    return get_type_hints(kind, include_extras=True)


def check_fields(config: msgspec.Struct) -> None:
    """Raise ConfigError unless every field of a config is of its type and within its bounds.

    What is equal is stored alike, since it must give the same run: `lr=1` as 1.0, a list as a tuple.
    """
    for name, hint in field_types(type(config)).items():
        if (value := getattr(config, name)) is NOT_GIVEN and isinstance(config, RunConfig):
            continue
        try:
            msgspec.structs.force_setattr(config, name, msgspec.convert(value, hint))
        except msgspec.ValidationError as error:
            wrong = f"{option_name(name)} {_shown(value)}"
            raise ConfigError(f"{wrong}: {_plain(str(error))}.{_choices(hint, value)}") from None
        for part in value if isinstance(value, list | tuple) else (value,):
            if expected := _expected(part):
                raise ConfigError(f"{option_name(name)} {_shown(part)}: expected {expected}.")


def _expected(value: object) -> str:
    """What a value of the right type should be that no field can have; empty where it is fine."""
    if isinstance(value, str) and "\0" in value:
        return "text without a NUL character"
    if isinstance(value, int) and abs(value) >= 2**63:
        return "a number of 64 bits"
    return "a finite number" if isinstance(value, float) and not math.isfinite(value) else ""


def _shown(value: object) -> str:
    try:
        return str(value)
    except ValueError:  # Python prints no number of more than 4,300 digits
        return "(a number of very many digits)"


def _choices(hint: Any, value: object) -> str:
    """What a field of fixed choices can be, and the nearest to what was given."""
    bare = [getattr(part, "__origin__", part) for part in (hint, *get_args(hint))]
    names = next((get_args(part) for part in bare if get_origin(part) is Literal), ())
    near = difflib.get_close_matches(_shown(value), names, n=1)
    return (f" Did you mean {near[0]!r}?" if near else "") + (f" There are: {', '.join(names)}." if names else "")


@cache
def meta(name: str, kind: type[msgspec.Struct] = RunConfig) -> msgspec.Meta:
    """The help text, bounds, default and meaning of a field."""
    hint = field_types(kind)[name]
    annotated = hint if hasattr(hint, "__metadata__") else get_args(hint)[0]
    found: msgspec.Meta = annotated.__metadata__[0]
    return found


def default(name: str) -> Any:
    """The value of a field where no model, dataset or method has a better one."""
    return (meta(name).extra or {})["default"]


def given(config: RunConfig) -> dict[str, Any]:
    """The fields of a config that are not empty, by name."""
    return {name: value for name in field_types() if (value := getattr(config, name)) is not NOT_GIVEN}


AS_TRAINED = ("momentum", "weight_decay", "clip_norm")
"""Settings of training that fine-tuning shares unless it has its own, which are empty where they are the same."""

OF_UNITS = ("prune", "layer_fraction", "floor", "through_norms", "by", "group_reduction", "group_normalisation")
"""Settings that say which units go: of structured pruning alone."""

OF_RETRAINING = ("rewind_epoch", "distil_temperature", "distil_weight", "bn_samples")
"""Settings of some ways of retraining alone."""

OF_TUNING = tuple(name for name in RunConfig.__struct_fields__ if name.startswith("finetune_"))
"""Settings of fine-tuning, which ways of retraining that repeat the dense training have no use for."""

LATER = (
    *("sparsity", "compression", "macs", "sparsity_schedule", "pattern", "every"),
    *("output", "mean", "std", "class_weights", "calibration", "retrain"),
    *("finetune_warmup", "finetune_updates"),
    *(f"finetune_{name}" for name in AS_TRAINED),
    *OF_UNITS,
    *OF_RETRAINING,
)
"""Settings that came later: where they are the default they are no part of a key, so that runs of before are found."""


TARGETS = ("sparsity", "compression", "macs")
"""Settings that say what is gone in the end, instead of `fraction`; one of them at most."""


def to_target(stored: Mapping[str, Any]) -> bool:
    """Whether settings, as a run has stored them, say what is gone in the end, as N:M patterns do too."""
    return ":" in str(stored.get("pattern")) or any(stored.get(name) is not None for name in TARGETS)


def told(stored: Mapping[str, Any], name: str) -> Any:
    """A setting as a run has stored it; None where it came later and is the default, as runs of before have it."""
    value = stored.get(name)
    if name not in LATER:
        return value
    usual = default(name)
    return (
        None if value in ((usual, list(usual)) if isinstance(usual, tuple) else (usual,)) else value
    )  # JSON has lists


def stored_as(settings: Mapping[str, Any], name: str) -> Any:
    """A setting as runs store it: where it came later and is not there, the default; the other way round than `told`."""
    value = settings.get(name)
    return default(name) if value is None and name in LATER else value


def deciding(*parts: Decides) -> list[str]:
    """Names of the fields that decide the given parts of a run's result."""
    return list(_deciding(parts))


@cache
def _deciding(parts: tuple[Decides, ...]) -> tuple[str, ...]:
    return tuple(name for name in field_types() if (meta(name).extra or {})["decides"] in parts)


def option_name(name: str) -> str:
    """`finetune_lr` → `--finetune-lr`."""
    return "--" + name.replace("_", "-")


def read_toml(path: str | Path) -> RunConfig:
    """Read a RunConfig from a flat TOML file whose keys are field names.

    Raises:
        ConfigError: the file is missing or malformed, or a key or value is not one of RunConfig's.
    """
    values = toml_tables(path, settings_text(path))
    for key in values:
        if key not in field_types():
            near = difflib.get_close_matches(key, field_types(), n=1)
            hint = f" Did you mean {near[0]!r}?" if near else " `prunebench prune --help` lists them."
            raise ConfigError(f"{path}: there is no setting {key!r}.{hint}")
    try:
        return RunConfig(**values | beside(path, values))
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def settings_text(path: str | Path) -> str:
    """The text of a file of settings.

    Raises:
        ConfigError: it is missing, longer than any settings are, or no text.
    """
    try:
        with open_plain(path) as file:
            content = file.read(LONGEST + 1)
        text = content.decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"{str(path) or repr('')}: there is no such file.") from None
    except (OSError, ValueError) as error:  # no text, or a path with a NUL character
        raise ConfigError(f"{str(path) or repr('')}: cannot be read as TOML: {error}.") from None
    if len(content) > LONGEST:
        raise ConfigError(f"{path}: a file of more than {LONGEST:,} bytes is none of settings.")
    return text.replace("\r\n", "\n")


def toml_tables(name: str | Path, text: str) -> dict[str, Any]:
    """What a TOML text holds; `name` is what it is called in an error.

    Raises:
        ConfigError: it is no TOML, or none that can be read.
    """
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ConfigError(f"{name}: cannot be read as TOML: it is nested too deeply.") from None
    except ValueError as error:  # malformed, or a number of more digits than Python reads
        raise ConfigError(f"{name}: cannot be read as TOML: {error}.") from None


def beside(path: str | Path, values: Mapping[str, Any]) -> dict[str, Any]:
    """`weights` of a TOML file, where they are a file themselves: it is looked for beside the one that names it."""
    other = str(values.get("weights"))
    named = is_weight_file(other) or other.endswith(SETTINGS_FILE)
    return {"weights": str((Path(path).parent / other).absolute())} if named else {}


def is_weight_file(weights: str) -> bool:
    """Whether `weights` is called as files of weights are."""
    return weights.lower().endswith(WEIGHT_FILES)


def merge(over: RunConfig, under: RunConfig) -> RunConfig:
    """The fields of `over` that are not empty, and those of `under` where `over` has none."""
    return msgspec.structs.replace(under, **given(over))


def _plain(message: str) -> str:
    words = {"Expected": "expected", "`": "", " | null": "", **KINDS}
    for word, instead in words.items():
        message = re.sub(rf"\b{word}\b" if word.isalpha() else re.escape(word), instead, message)
    return message
