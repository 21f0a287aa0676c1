"""Configs: transformers' configurations as data, by which a classifier is built without a file, a network, or code.

A configuration here is a dict of `model_type` and of those keys of its class whose values differ from the class's own.
It holds plain values alone. Keys that could have weights or code fetched are none of it, whoever names them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Literal

from prunebench.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

Kind = Literal["text", "images"]

NEVER = re.compile(
    r"_|auto_map|trust_remote|quantization|backbone|use_timm|use_pretrained|attn_impl|experts_impl|.*kernels?$|"
    r".*(_file|_path|_url|_repo|_dir)$"
)
"""Keys that fetch, or choose code, or are transformers' own."""

OF_USE = ("dtype", "id2label", "label2id", "num_labels", "problem_type", "architectures", "model_type")
"""Keys that do not decide a model's layers, or that prunebench decides; whoever reads a folder looks at them apart."""

ASKED = ("head_dim",)
"""Keys that models of many types ask for, whether their classes have them or not."""

WRAPPERS = {"timm_wrapper": "give the model of timm itself, as --model timm:NAME"}
"""Types whose layers are another library's, and what to do instead."""

COUNTS = re.compile(
    r"(.*_)?(layers?|depths?|depth_coefficient|depth_multiplier|blocks?|block_sizes|stages?|groups?|group_num|"
    r"repeats?|experts)$"
)
"""Keys that say how many modules there are, whatever a type calls them."""

MOST_LAYERS = 1000
"""Layers of a model of transformers, at most: one with more would fill the memory before its weights are looked at."""

IDS = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}
"""Keys that name tokens, and which these are in a vocabulary that is learnt of the data (`data/text`)."""

AFTER_PADDING = (
    *("camembert", "data2vec-text", "esm", "ibert", "layoutlmv3", "lilt", "longformer", "luke", "markuplm", "mpnet"),
    *("roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod"),
)
"""Types that number positions from the id of padding on, so that as many of `max_position_embeddings` hold none."""


def classifiers(model_type: str) -> dict[Kind, tuple[str, ...]]:
    """Names of the classes of transformers that classify with a type of model, by what they read."""
    from transformers.models.auto import modeling_auto as auto

    mappings: dict[Kind, Mapping[str, Any]] = {
        "text": auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
        "images": auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES,
    }
    found = {kind: names[model_type] for kind, names in mappings.items() if model_type in names}
    return {kind: (names,) if isinstance(names, str) else tuple(names) for kind, names in found.items()}


def reads(config: Mapping[str, Any]) -> Kind:
    """What the classifier of a configuration reads; where its type has one of either kind, by `architectures`.

    Raises:
        ModelError: its type has no classifier.
    """
    return _chosen(config)[0]


def _chosen(config: Mapping[str, Any]) -> tuple[Kind, str]:
    """What the classifier of a configuration reads, and the name of its class."""
    kind = str(config.get("model_type") or "")
    if not kind:
        raise ModelError("its config.json has no `model_type`, which says of what type the model is")
    if kind in WRAPPERS:
        raise ModelError(f"a {kind} holds a model of another library: {WRAPPERS[kind]}")
    found = classifiers(kind)
    named = config.get("architectures") or ()
    asked = [(reading, name) for reading, names in found.items() for name in names if name in named]
    first = [(reading, names[0]) for reading, names in found.items()]
    if not first:
        raise ModelError(f"transformers has no classifier of {kind!r}, neither of sequences nor of images")
    if not asked and len(first) > 1:
        raise ModelError(f"a {kind} may classify text or images, and `architectures` in its config names neither")
    return (asked or first)[0]


def model_class(config: Mapping[str, Any]) -> Any:
    """The class of transformers that classifies."""
    import transformers

    return getattr(transformers, _chosen(config)[1])  # a name of transformers' own table


def _config_class(model_type: str) -> Any:
    from transformers import CONFIG_MAPPING

    return CONFIG_MAPPING[model_type]


def own_keys(kind: type[PreTrainedConfig]) -> list[str]:
    """The keys that a class of configurations has itself, without those that are never taken."""
    from transformers import PreTrainedConfig

    base = {field.name for field in fields(PreTrainedConfig)}
    names = (field.name for field in fields(kind))
    return list(dict.fromkeys([*(name for name in names if name not in base and not NEVER.match(name)), *ASKED]))


def settled(found: Mapping[str, Any]) -> dict[str, Any]:
    """What a model is built by, of the content of a config.json.

    Raises:
        ModelError: it has no classifier, is quantised, or is not as its class wants it.
    """
    _, name = _chosen(found)
    _check_counts(found)
    if any(key.startswith("quantization") and found[key] for key in found):
        raise ModelError("it is quantised. Give the model as it was before it was quantised")
    several = len([each for names in classifiers(found["model_type"]).values() for each in names]) > 1
    kind = _config_class(found["model_type"])
    told = kind(**_without(found))
    chosen = _differing(told)
    again = kind(**chosen)
    for key in own_keys(kind):  # what a class works out of other keys, and these say otherwise
        if (value := _data(getattr(told, key, None))) != _data(getattr(again, key, None)):
            chosen[key] = value
    config = {"model_type": found["model_type"], **({"architectures": [name]} if several else {}), **chosen}
    check(config)
    return config


def _without(found: Mapping[str, Any]) -> dict[str, Any]:
    """What of a mapping its class may see."""
    kept = {key: value for key, value in found.items() if not NEVER.match(key) and key not in OF_USE}
    return {key: _without(value) if isinstance(value, Mapping) else value for key, value in kept.items()}


def _differing(config: PreTrainedConfig) -> dict[str, Any]:
    """The own keys of a configuration whose values are not its class's."""
    usual = type(config)()
    values = {key: (_data(getattr(config, key, None)), getattr(usual, key, None)) for key in own_keys(type(config))}
    return {key: value for key, (value, other) in values.items() if value != _data(other)}


def _data(value: Any) -> Any:
    """A value as JSON holds it; of a configuration inside another one its own keys."""
    from transformers import PreTrainedConfig

    if isinstance(value, PreTrainedConfig):
        return {key: _data(getattr(value, key)) for key in own_keys(type(value)) if hasattr(value, key)}
    if isinstance(value, list | tuple):
        return [_data(each) for each in value]
    return {key: _data(each) for key, each in value.items()} if isinstance(value, Mapping) else value


def check(config: Mapping[str, Any]) -> None:
    """Raise ModelError where a configuration, which may come from anywhere, is none that a model is built by."""
    _check_counts(config)
    named = config.get("architectures", [])
    if not isinstance(config.get("model_type"), str) or not isinstance(named, list):
        raise ModelError("its configuration names no type of model")
    _, name = _chosen(config)
    if named and named != [name]:
        raise ModelError(f"a {config['model_type']} is no {', '.join(map(str, named))[:60]}")
    _check(config, _config_class(config["model_type"]), ("model_type", "architectures"))
    if not all(map(_is_plain, config.values())):
        raise ModelError("its configuration holds more than numbers, texts, lists and mappings of them")


def _check(config: Mapping[str, Any], kind: type[PreTrainedConfig], more: tuple[str, ...] = ()) -> None:
    keys = {*own_keys(kind), *more}
    for key, value in config.items():
        if key not in keys:
            raise ModelError(f"a {kind.model_type} is not built by {key[:60]!r} in its configuration")
        inside = kind.sub_configs.get(key)
        if inside is not None and isinstance(value, Mapping):
            _check(value, inside)


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_plain, value))
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and not NEVER.match(key) and _is_plain(each) for key, each in value.items())
    return value is None or isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value))


def most_modules(config: Mapping[str, Any]) -> int:
    """The largest number of layers, blocks or the like that a configuration asks for, those of a list together."""
    return max(_counts(config), default=0)


def _check_counts(config: Mapping[str, Any]) -> None:
    if (most := most_modules(config)) > MOST_LAYERS:
        raise ModelError(f"a model of {most:,} layers is not built; {MOST_LAYERS:,} is the most")


def _counts(config: Mapping[str, Any]) -> Iterator[int]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _counts(value)
        elif COUNTS.match(str(key)):
            several = value if isinstance(value, list) else [value]
            yield math.ceil(sum(abs(each) for each in several if isinstance(each, int | float)))


def configuration(config: Mapping[str, Any], classes: int, image_size: int = 0) -> PreTrainedConfig:
    """transformers' object of a configuration, of so many classes; where its class has a size of images, of this size.

    Attention is PyTorch's scaled dot product where the model has it; experts are computed one by one, in any type.
    Nothing is cached for a token to come.

    Raises:
        ModelError: as `check`.
    """
    check(config)
    kind = _config_class(config["model_type"])
    keys = own_keys(kind)
    told = {key: value for key, value in config.items() if key not in OF_USE}
    if image_size and "image_size" in keys:
        told["image_size"] = image_size
    elif image_size and "vision_config" in keys:
        told["vision_config"] = {**told.get("vision_config", {}), "image_size": image_size}
    if "use_cache" in keys:
        told["use_cache"] = False
    attention = "sdpa" if model_class(config)._supports_sdpa else "eager"
    how = {"attn_implementation": attention, "experts_implementation": "eager"}
    found: PreTrainedConfig = kind(**told, num_labels=classes, **how)
    return found


def value_in(config: Mapping[str, Any], key: str) -> Any:
    """The value of a key under the name that transformers has for all types; None where the type has no such key."""
    kind = _config_class(config["model_type"])
    found = kind(**{name: value for name, value in config.items() if name not in OF_USE})
    return getattr(found, key, None)


def longest(config: Mapping[str, Any]) -> int | None:
    """Tokens that a model reads at most; None of one whose positions are not counted."""
    most = value_in(config, "max_position_embeddings")
    if not isinstance(most, int) or isinstance(most, bool) or most < 1:
        return None
    return most - 1 - (value_in(config, "pad_token_id") or 0) if config["model_type"] in AFTER_PADDING else most


def image_size(config: Mapping[str, Any]) -> int | None:
    """Height and width of the images that a configuration is made for; None where it does not say.

    Raises:
        ModelError: they differ.
    """
    told = value_in(config, "image_size")
    told = getattr(value_in(config, "vision_config"), "image_size", None) if told is None else told
    sides = list(told) if isinstance(told, list | tuple) else [told]
    if len(set(sides)) > 1:
        raise ModelError(f"it reads images of {'×'.join(map(str, sides))} pixels, and prunebench's are square")
    return sides[0] if sides and isinstance(sides[0], int) else None


def as_learnt(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration for a vocabulary that is learnt of the data, which decides how many tokens there are."""
    keys = own_keys(_config_class(config["model_type"]))
    rest = {key: value for key, value in config.items() if key != "vocab_size"}
    return {**rest, **{key: number for key, number in IDS.items() if key in keys}}


def with_padding(config: Mapping[str, Any], number: int) -> dict[str, Any]:
    """The configuration with the id of the token that pads."""
    keys = own_keys(_config_class(config["model_type"]))
    return {**config, **({"pad_token_id": number} if "pad_token_id" in keys else {})}
