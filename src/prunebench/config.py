"""RunConfig: what to do, written down once.

A field is a command-line option, a TOML key and a column of the results. Its annotation holds its type, bounds
and help text; `extra` says what it decides (the key of a run is a hash of what decides its result) and the
default where no model, dataset or method has a better one. `None` means "not given".
"""

from __future__ import annotations

import difflib
import tomllib
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints

import msgspec

from prunebench.errors import ConfigError

Decides = Literal["training", "pruning", "nothing"]


def _field(help: str, decides: Decides, default: Any = None, **bounds: Any) -> msgspec.Meta:
    return msgspec.Meta(description=help, extra={"decides": decides, "default": default}, **bounds)


class RunConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Everything that decides a run. Frozen; validated when made; builds nothing and reads no disk.

    Fields may be empty (`None`); `prunebench.resolve.resolve` fills them once. Fractions are between 0 and 1.

    Raises:
        ConfigError: a value has the wrong type or is out of bounds; the message names the field.
    """

    # What
    model: Annotated[Any, _field("Model: a name, or path.py:function.", "training")] = None
    dataset: Annotated[Any, _field("Dataset: a name, or path.py:function.", "training")] | None = None
    data_dir: Annotated[str, _field("Where datasets are, or are downloaded to.", "nothing", "data")] | None = None
    weights: (
        Annotated[
            str,
            _field(
                "Start from: none, imagenet, a Hugging Face name or folder, a .pth or .safetensors file, or a run.",
                "training",
                "none",
            ),
        ]
        | None
    ) = None
    stem: (
        Annotated[
            Literal["standard", "small"],
            _field("First layers of the ResNets; small is 3×3, stride 1, no pooling.", "training", "standard"),
        ]
        | None
    ) = None

    # Data
    image_size: Annotated[int, _field("Height and width of an image, pixels.", "training", 32, ge=1)] | None = None
    sequence_length: (
        Annotated[int, _field("Longest sentence, tokens; the rest is cut.", "training", 128, ge=4)] | None
    ) = None
    augment: Annotated[bool, _field("Random crop and flip of training images.", "training", False)] | None = None
    limit_train: (
        Annotated[int, _field("Take a fixed stratified subset of the training data.", "training", ge=1)] | None
    ) = None
    limit_test: Annotated[int, _field("Take a fixed stratified subset of the test data.", "training", ge=1)] | None = (
        None
    )
    train_eval: (
        Annotated[
            int,
            _field("Training samples that training accuracy is measured on, at most.", "training", 10_000, ge=1),
        ]
        | None
    ) = None
    workers: Annotated[int, _field("Processes that read folders of images.", "nothing", 2, ge=0)] | None = None

    # Training
    seed: Annotated[int, _field("Seed of everything random.", "training", 0, ge=0, le=2**63 - 1)] | None = None
    epochs: Annotated[int, _field("Epochs of training.", "training", 10, ge=1)] | None = None
    batch_size: Annotated[int, _field("Samples per training step.", "training", 64, ge=1)] | None = None
    optimizer: Annotated[Literal["sgd", "adam", "adamw"], _field("Optimizer.", "training", "adamw")] | None = None
    lr: Annotated[float, _field("Learning rate, its peak.", "training", 1e-3, gt=0)] | None = None
    schedule: (
        Annotated[
            Literal["constant", "cosine", "exponential", "one-cycle"],
            _field("Learning-rate schedule of training.", "training", "one-cycle"),
        ]
        | None
    ) = None
    gamma: (
        Annotated[float, _field("Decay per epoch of the exponential schedule.", "training", 0.9, gt=0, le=1)] | None
    ) = None
    momentum: Annotated[float, _field("Momentum of SGD.", "training", 0.9, ge=0, lt=1)] | None = None
    weight_decay: Annotated[float, _field("Weight decay.", "training", 0.0, ge=0)] | None = None
    clip_norm: Annotated[float, _field("Clip the gradient to this norm; 0 is off.", "training", 0.0, ge=0)] | None = (
        None
    )
    freeze: Annotated[bool, _field("Train the classifier alone.", "training", False)] | None = None
    memory_format: (
        Annotated[
            Literal["contiguous", "channels_last"],
            _field("Memory layout of images and weights.", "training", "contiguous"),
        ]
        | None
    ) = None
    dtype: (
        Annotated[
            Literal["fp32", "bf16"],
            _field("Arithmetic; bf16 is autocast over fp32 weights.", "training", "fp32"),
        ]
        | None
    ) = None

    # Pruning
    method: Annotated[str, _field("How: unstructured or structured.", "pruning", "structured")] | None = None
    criterion: (
        Annotated[
            Any,
            _field("What goes first: l1, l2, random, or path.py:function.  [default: the method's]", "pruning"),
        ]
        | None
    ) = None
    fraction: Annotated[float, _field("Removed per iteration, of what is left.", "pruning", 0.1, gt=0, lt=1)] | None = (
        None
    )
    iterations: Annotated[int, _field("Times to prune and fine-tune.", "nothing", 10, ge=1)] | None = None
    scope: (
        Annotated[
            Literal["global", "layerwise"],
            _field("Rank single weights over the whole model, or in each layer.", "pruning", "global"),
        ]
        | None
    ) = None
    targets: (
        Annotated[
            Literal["weights", "all"],
            _field("Conv and linear weights, or all weights and biases of every layer.", "pruning", "weights"),
        ]
        | None
    ) = None
    include: (
        Annotated[tuple[str, ...], _field("Prune only modules that match this glob; repeatable.", "pruning", ())] | None
    ) = None
    exclude: (
        Annotated[tuple[str, ...], _field("Spare modules that match this glob; repeatable.", "pruning", ())] | None
    ) = None
    finetune_epochs: (
        Annotated[int, _field("Epochs of fine-tuning per iteration; 0 is none.", "pruning", 1, ge=0)] | None
    ) = None
    finetune_lr: Annotated[float, _field("Learning rate of fine-tuning.", "pruning", 3e-4, gt=0)] | None = None
    finetune_optimizer: (
        Annotated[Literal["sgd", "adam", "adamw"], _field("Optimizer of fine-tuning.", "pruning", "adamw")] | None
    ) = None
    finetune_schedule: (
        Annotated[
            Literal["constant", "cosine", "exponential", "one-cycle"],
            _field("Learning-rate schedule of fine-tuning.", "pruning", "cosine"),
        ]
        | None
    ) = None
    finetune_batch_size: Annotated[int, _field("Samples per fine-tuning step.", "pruning", 64, ge=1)] | None = None

    # Machine and files
    device: (
        Annotated[
            Literal["auto", "cpu", "cuda", "mps"],
            _field("Where to compute; auto is CUDA if there, else CPU.", "nothing", "auto"),
        ]
        | None
    ) = None
    threads: Annotated[int, _field("CPU threads.  [default: all cores]", "nothing", ge=1)] | None = None
    runs_dir: Annotated[str, _field("Where runs are kept.", "nothing", "runs")] | None = None
    results_dir: Annotated[str, _field("Where the text matrices are written.", "nothing", "performance")] | None = None

    def __post_init__(self) -> None:
        check_fields(self)


@cache
def field_types(kind: type[msgspec.Struct] = RunConfig) -> dict[str, Any]:
    """Name of every field of a config → its annotated type, in order."""
    return get_type_hints(kind, include_extras=True)


def check_fields(config: msgspec.Struct) -> None:
    """Raise ConfigError unless every field of a config is of its type and within its bounds.

    What is equal is stored alike, since it must give the same run: `lr=1` as 1.0, a list as a tuple.
    """
    for name, hint in field_types(type(config)).items():
        value = getattr(config, name)
        try:
            msgspec.structs.force_setattr(config, name, msgspec.convert(value, hint))
        except msgspec.ValidationError as error:
            raise ConfigError(f"{option_name(name)} {value}: {_plain(str(error))}.") from None


def meta(name: str, kind: type[msgspec.Struct] = RunConfig) -> msgspec.Meta:
    """The help text, bounds, default and meaning of a field."""
    hint = field_types(kind)[name]
    annotated = hint if hasattr(hint, "__metadata__") else get_args(hint)[0]
    found: msgspec.Meta = annotated.__metadata__[0]
    return found


def default(name: str) -> Any:
    """The value of a field where no model, dataset or method has a better one."""
    assert meta(name).extra is not None
    return (meta(name).extra or {})["default"]


def deciding(*parts: Decides) -> list[str]:
    """Names of the fields that decide the given parts of a run's result."""
    return [name for name in field_types() if (meta(name).extra or {})["decides"] in parts]


def option_name(name: str) -> str:
    """`finetune_lr` → `--finetune-lr`."""
    return "--" + name.replace("_", "-")


def read_toml(path: str | Path) -> RunConfig:
    """Read a RunConfig from a flat TOML file whose keys are field names.

    Raises:
        ConfigError: the file is missing or malformed, or a key or value is not one of RunConfig's.
    """
    try:
        values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file.") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as TOML: {error}.") from None
    for key in values:
        if key not in field_types():
            near = difflib.get_close_matches(key, field_types(), n=1)
            hint = f" Did you mean {near[0]!r}?" if near else " `prunebench prune --help` lists them."
            raise ConfigError(f"{path}: there is no setting {key!r}.{hint}")
    try:
        return RunConfig(**values)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def merge(over: RunConfig, under: RunConfig) -> RunConfig:
    """The given fields of `over`, and those of `under` where `over` has none."""
    given = {name: getattr(over, name) for name in field_types() if getattr(over, name) is not None}
    return msgspec.structs.replace(under, **given)


def _plain(message: str) -> str:
    return message.replace("Expected", "expected").replace("`", "").replace(" | null", "")
