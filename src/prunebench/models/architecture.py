"""Architectures: the registry of models, and how one is built from plain data.

A builder takes, by name, those of these arguments that it asks for, and returns an nn.Module:

    classes      number of classes; also as num_classes
    channels     3: grey images are repeated to three channels
    image_size   height and width of an image, pixels
    adapt        whether the shape may follow a small input (no published weights are loaded)
    vocab_size   how many tokens there are; ids are below it (text models)
    config       transformers' configuration as a dict (models of transformers)
    published    whether the library's own weights are loaded into it

Whatever else it asks for, users may give as `--model-arg NAME=VALUE`. `**kwargs` takes that too and, of a builder
that asks for the number of classes by neither name, `num_classes`, as torchvision's and timm's do.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal
from weakref import WeakValueDictionary

import msgspec

from prunebench.config import toml_tables
from prunebench.errors import ConfigError, ModelError, PrunebenchError
from prunebench.models.configs import MOST_LAYERS, most_modules
from prunebench.models.input_spec import InputSpec, output_of
from prunebench.models.masks import Masks
from prunebench.models.outputs import Choice, choose
from prunebench.models.sharing import by_first_names, settle
from prunebench.models.taken_over import copied, cut_off, take_masks
from prunebench.registry import Registry, call, parameters
from prunebench.user_code import failure

if TYPE_CHECKING:
    import torch
    from torch import nn

    from prunebench.models.folders import Folder
    from prunebench.models.normalisation import Statistics


@dataclass(frozen=True)
class Published:
    """Weights that a library has of a model.

    Attributes:
        called: as they are told, such as "ImageNet's weights of vgg16".
        version: which they are, where a name does not say so for ever; it is in a run's key.
        here: whether they are on this machine, so that nothing is downloaded.
        load: name → tensor, float.
        statistics: the mean and standard deviation that they expect images to be normalised with.
        evaluation: how the library itself prepares pictures: the share of the shorter side that is left after it was
            resized, and the interpolation of resizing; None where it does not say.
    """

    called: str
    version: Callable[[], str | None]
    here: Callable[[], bool]
    load: Callable[[], Mapping[str, torch.Tensor]]
    statistics: Callable[[], Statistics]
    evaluation: Callable[[], tuple[float, str]] | None = None


CONFIG = (
    *("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act"),
    *("hidden_dropout_prob", "attention_probs_dropout_prob", "max_position_embeddings", "type_vocab_size"),
    *("initializer_range", "layer_norm_eps", "pad_token_id", "bos_token_id", "eos_token_id", "classifier_dropout"),
    *("is_decoder", "add_cross_attention", "tie_word_embeddings", "use_cache"),
)
"""Keys of transformers' configuration of BERT that a model is built by. Others, of a file from elsewhere, could have
code fetched (`_attn_implementation`), or do nothing to the model."""


def settings_of_bert(config: Mapping[str, Any]) -> dict[str, Any]:
    """Of a configuration, what a BERT is built by."""
    return {name: value for name, value in config.items() if name in CONFIG}


@dataclass(frozen=True)
class InLibrary:
    """What a library knows of a model that it has by name.

    Attributes:
        made_for: the size of images that its weights are for, pixels; asked when it is needed.
        heads: modules that are its classifier; none where that is the last layer.
        auxiliary: modules for training from scratch, which weights may hold beside the model's.
        packages: that are recorded with their versions.
    """

    made_for: Callable[[], int]
    heads: Callable[[], tuple[str, ...]] = tuple
    auxiliary: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()


PRETRAINED = {"optimizer": "adamw", "lr": 1e-4, "finetune_lr": 1e-4}
"""Settings that suit given weights of any model: what trains fresh ones undoes what they know (docs/fine-tuning.md)."""


@dataclass(frozen=True)
class ModelEntry:
    """A registered model, or a library's: how it is built, what it reads, and values of RunConfig fields that suit it.

    Attributes:
        name: under which it is registered, with the library's before it; or the reference of a user's own.
        summary: what it is, in a line.
        build: its builder, as the top of this module describes.
        reads: what it reads; None where that is not known.
        defaults: values of fields that suit it.
        pretrained: those that suit it where it starts from published weights.
        published: weights that a library has of it, by what `--weights` calls them.
        hub: whether `--weights` may be a name or folder of Hugging Face too.
        keeps: globs of modules whose units stay unless they are asked for.
        tables: names of modules that hold nothing but look-up tables.
        arguments: the only ones that a file may have it called with; None: any.
        settings: makes of transformers' configuration, which may be a file's from elsewhere, what the builder gets, or
            raises ModelError.
        folder: what a model of transformers is named by.
        library: what its library knows of it; None of one that is in none.
    """

    name: str
    summary: str
    build: Callable[..., nn.Module]
    reads: Literal["images", "text"] | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)
    pretrained: Mapping[str, Any] = field(default_factory=lambda: PRETRAINED)
    published: Mapping[str, Published] = field(default_factory=dict)
    hub: bool = False
    keeps: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    arguments: Mapping[str, Any] | None = None
    settings: Callable[[Mapping[str, Any]], dict[str, Any]] = settings_of_bert
    folder: Folder | None = None
    library: InLibrary | None = None

    def hint(self, size: int) -> str:
        """What else can be done where the model fails on images of a size; empty where nothing is known."""
        usual = self.library.made_for() if self.library is not None else size
        return f" It is made for {usual}×{usual} images: give --image-size {usual}." if usual != size else ""


def _users_own(name: str, thing: Any) -> ModelEntry:
    """An entry of a user's builder, or of a model itself, of which every run takes a copy."""
    is_model = hasattr(thing, "state_dict") and not inspect.isclass(thing)
    return ModelEntry(name, "your own", (lambda: copied(thing)) if is_model else thing)


class Later(Mapping[str, Any]):
    """A mapping that is found when it is first looked at, such as what a library says of a model."""

    def __init__(self, find: Callable[[], Mapping[str, Any]]) -> None:
        self._find = find

    @cached_property
    def _found(self) -> Mapping[str, Any]:
        return self._find()

    def __getitem__(self, name: str) -> Any:
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


OFFERED = {"classes", "channels", "image_size", "adapt", "vocab_size", "config", "published"}
"""What every builder may have."""

ARGUMENTS: dict[str, Any] = {
    **dict.fromkeys(("classes", "channels", "image_size", "vocab_size"), Annotated[int, msgspec.Meta(ge=0, le=2**31)]),
    **dict.fromkeys(("adapt", "published"), bool),
    "config": dict[str, Any],
    "given": dict[str, str | int | float | bool],
}
"""Arguments of an architecture, and what they are; `given` are those that the user gave. No other is handed on."""

_built: WeakValueDictionary[int, Any] = WeakValueDictionary()
"""Models that builders have returned and that are still there: what is trained and pruned is not handed out again."""

models: Registry[ModelEntry] = Registry("model", "prunebench.models.zoo", _users_own)


def register(name: str, summary: str, **about: Any) -> Callable[[Callable[..., nn.Module]], Callable[..., nn.Module]]:
    """Decorator: register a builder under a name; keywords are ModelEntry's."""

    def add(build: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
        models.add(name, ModelEntry(name, summary, build, **about))
        return build

    return add


def asks_for(entry: ModelEntry, name: str) -> bool:
    """Whether a builder has a parameter of this name."""
    return name in parameters(entry.build)


def arguments_told(entry: ModelEntry, texts: Iterable[str]) -> tuple[str, ...]:
    """Arguments for a builder as `--model-arg` has them, in order, each once, without those that are its defaults.

    Raises:
        ConfigError: one is no NAME=VALUE, is given twice, or the builder does not take it.
    """
    asked = parameters(entry.build)
    takes_all = any(p.kind is p.VAR_KEYWORD for p in asked.values())
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    own = [name for name, p in asked.items() if name not in OFFERED and p.kind not in several]
    found: dict[str, str] = {}
    for text in texts:
        name, equals, _ = text.partition("=")
        if not equals or not name.isidentifier():
            raise ConfigError(f"--model-arg {text}: expected NAME=VALUE, such as stem=small.")
        if name in found:
            raise ConfigError(f"--model-arg {text}: {name} is given twice.")
        if not (name in own or (takes_all and name not in asked)):
            has = f"; it has: {', '.join(own)}" if own else ""
            raise ConfigError(f"--model-arg {text}: the builder of {entry.name} has no such argument{has}.")
        found[name] = text
    usual = {name: p.default for name, p in asked.items()}
    return tuple(sorted(text for name, text in found.items() if name not in usual or value_of(text) != usual[name]))


def value_of(text: str) -> str | int | float | bool:
    """The value of NAME=VALUE: a finite number or a truth value as TOML writes them, else the text itself."""
    value = text.partition("=")[2]
    try:
        (found,) = toml_tables(text, f"value = {value}").values()
    except (ConfigError, ValueError):  # no TOML, or more than a value
        return value
    if (isinstance(found, float) and not math.isfinite(found)) or (isinstance(found, int) and abs(found) >= 2**63):
        return value  # JSON has none of these
    return found if isinstance(found, (str, int, float, bool)) else value


def check_needed(entry: ModelEntry, texts: Iterable[str]) -> None:
    """Raise ConfigError where a builder needs arguments that are neither offered nor given as `--model-arg`."""
    given = {text.partition("=")[0] for text in texts}
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    asked = inspect.signature(entry.build).parameters.values()
    needed = [p.name for p in asked if p.kind in kinds and p.default is p.empty]
    if missing := [name for name in needed if name not in {*OFFERED, "num_classes", *given}]:
        told = " ".join(f"--model-arg {name}=VALUE" for name in missing)
        raise ConfigError(
            f"The builder of {entry.name} asks for {', '.join(missing)}: give {told}. Unasked it has: "
            f"{', '.join(sorted(OFFERED))}."
        )


def given_arguments(texts: Iterable[str]) -> dict[str, str | int | float | bool]:
    """Arguments as `--model-arg` has them, by name."""
    return {text.partition("=")[0]: value_of(text) for text in texts}


class Architecture(msgspec.Struct, frozen=True, omit_defaults=True):
    """A model as data: its name or reference, the arguments of its builder, the shape of its input, and what of its
    output are its scores, where that is not the default (see `outputs.Choice`)."""

    model: str
    arguments: dict[str, Any]
    inputs: InputSpec
    output: str | None = None

    def build(self, entry: ModelEntry | None = None) -> nn.Module:
        """Build the model with fresh weights from torch's global generator, on the CPU; without its masks.

        Arguments and errors are those of `build_masked`.
        """
        return self.build_masked(entry)[0]

    def build_masked(self, entry: ModelEntry | None = None) -> tuple[nn.Module, Masks]:
        """Build the model, and tell the masks of torch.nn.utils.prune that its builder has put into it.

        `entry` is the model's, where it is known; else it is looked up by name or reference.

        Raises:
            ModelError: the builder fails, or does not return an nn.Module of its own every time.
        """
        from torch import nn

        entry = entry or models.get(self.model)
        try:
            built = call(entry.build, *self._handed(entry))
        except PrunebenchError:
            raise
        except Exception as error:  # builders fail in their own ways, and files may have any arguments
            hint = " Try a larger --image-size." if "too small" in str(error) else ""
            hint = "" if isinstance(error, TypeError) else entry.hint(self.inputs.size) or hint
            why = " ".join(str(error).split()).rstrip(".!") or type(error).__name__
            raise ModelError(f"{self.model} cannot be built for {self.inputs.text()}: {why}.{hint}") from error
        if not isinstance(built, nn.Module):
            raise ModelError(f"{self.model} returned {type(built).__name__}; a builder returns an nn.Module.")
        if _built.get(id(built)) is built:
            raise ModelError(f"{self.model} returned the same model again; a builder makes a new one every time.")
        _built[id(built)] = built
        choose(built, Choice(self.output, self.arguments.get("classes")))
        if _lazy(built):
            _materialise(built, self)
        masks = take_masks(built)
        cut_off(built)
        settle(built)
        return built, by_first_names(masks, built)

    def _handed(self, entry: ModelEntry) -> tuple[dict[str, Any], dict[str, Any]]:
        """What the builder may have, and what it is given besides.

        Raises:
            ModelError: an argument is none that a model is built by.
        """
        for name, value in self.arguments.items():
            try:
                msgspec.convert(value, ARGUMENTS[name])
            except (KeyError, msgspec.ValidationError):
                raise ModelError(f"{self.model}: a model is not built by {name!r} = {repr(value)[:60]}.") from None
        offered = {name: value for name, value in self.arguments.items() if name != "given"}
        if "config" in offered:
            if (layers := most_modules(offered["config"])) > MOST_LAYERS:
                raise ModelError(f"{self.model} of {layers:,} layers is not built; {MOST_LAYERS:,} is the most.")
            try:
                offered["config"] = entry.settings(offered["config"])
            except ModelError as error:
                raise ModelError(f"{self.model} cannot be built: {str(error).rstrip('.')}.") from error
        given: dict[str, Any] = self.arguments.get("given", {})
        if entry.arguments is not None and given != entry.arguments:
            raise ModelError(f"{self.model} is named with other arguments in the checkpoint than in its run.")
        if "classes" in offered:
            offered["num_classes"] = offered["classes"]
            if not asks_for(entry, "classes"):
                given = {"num_classes": offered["classes"]} | given
        return offered, given


def _lazy(model: nn.Module) -> list[str]:
    """Names of the layers of a model whose sizes the first input decides."""
    from torch.nn.parameter import is_lazy

    return [
        name
        for name, module in model.named_modules()
        if any(map(is_lazy, (*module.parameters(recurse=False), *module.buffers(recurse=False))))
    ]


def _materialise(model: nn.Module, about: Architecture) -> None:
    """Let an example decide the sizes of lazy layers, so that whoever builds the model has all of its parameters.

    Raises:
        ModelError: the model does not run, or an input does not reach a lazy layer.
    """
    import torch

    training = model.training
    try:
        with torch.no_grad():
            output_of(model.eval(), about.inputs.example())
    except Exception as error:  # a user's model fails in its own ways
        raise ModelError(f"{about.model} does not run on {about.inputs.text()}: {failure(error)}.") from error
    finally:
        model.train(training)
    if left := _lazy(model):
        raise ModelError(
            f"{about.model}: its lazy layers {', '.join(left)} are never used, so their sizes are unknown."
        )
