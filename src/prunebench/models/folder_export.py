"""Folder exports: a pruned model of transformers as a folder like those of Hugging Face, which `prunebench.load` reads.

    config.json, model.safetensors               as transformers has them
    tokenizer.json, tokenizer_config.json        of text
    preprocessor_config.json                     of images
    structure.json                               what prunebench builds the pruned model by

transformers builds a model by its config, which mostly has one size for all layers. Which sizes of it give the shapes
that are left is found by trying, without memory for weights; that transformers then answers as the model does is
proved by loading the folder with it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
import torch
from torch import nn

from prunebench.errors import ConfigError, ModelError
from prunebench.models.architecture import models
from prunebench.models.checkpoint import Checkpoint, structure_of, weights_of, write_tensors
from prunebench.models.configs import COUNTS, IDS
from prunebench.models.folders import PROCESSOR
from prunebench.models.input_spec import InputSpec, output_of
from prunebench.models.quiet import quiet
from prunebench.models.weight_files import names_told

Shapes = dict[str, tuple[int, ...]]

SAME = ("vocab_size", "num_labels", "head_dim")
"""Sizes that pruning leaves as they are: heads go whole, and narrower ones would have the same shapes."""

TRIED = 6
"""Sizes that one size of the full model became in different layers, of which each is tried for all."""

CLOSE = 1e-5
"""Share of the largest logit by which transformers' answers may differ: it may add in another order."""

TEXTS = ("The plot was dull, the music was warm.", "naïve 123 — Über", "")
"""What a tokenizer that is read back must turn into the same tokens."""

ROLES = {"unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
"""What tokens of a vocabulary that prunebench has learnt are for."""


def write_folder(plain: Checkpoint, folder: Path, classes: Sequence[str] = (), *, several: bool = False) -> str:
    """Write a model, which is in eval mode and fp32, into an existing folder; why transformers does not read it, if so.

    Where a sample may have `several` labels, the configuration says so, by which pipelines of transformers take a
    sigmoid of each logit.

    Raises:
        ConfigError: it is no model of transformers.
    """
    check_exportable(plain)
    model: Any = plain.model
    config, left = sized(model)
    if classes and len(classes) == config.num_labels:
        config.id2label = dict(enumerate(map(str, classes)))
        config.label2id = {name: number for number, name in config.id2label.items()}
    if several:
        config.problem_type = "multi_label_classification"
    _write_config(config, folder)
    write_tensors(weights_of(model), folder / "model.safetensors", {"format": "pt"})
    (folder / "structure.json").write_bytes(msgspec.json.format(structure_of(plain), indent=1))
    inputs = plain.architecture.inputs
    if plain.tokenizer is not None:
        _write_tokenizer(plain.tokenizer, inputs.length, folder)
    elif inputs.kind == "images":
        (folder / PROCESSOR).write_bytes(msgspec.json.format(msgspec.json.encode(_processor(inputs)), indent=2))
    if left or not (why := _unlike(plain, folder)):
        return left or (_other_tokens(plain.tokenizer, folder) if plain.tokenizer is not None else "")
    if shapes_of(_plain_class(model), model.config) == _shapes(model):
        raise ModelError(f"transformers reads it, but {why}")
    _write_config(_named(model.config, _plain_class(model)), folder)  # which transformers refuses to fill with weights
    return why


def _write_config(config: Any, folder: Path) -> None:
    with quiet():
        config.save_pretrained(folder)


def _shapes(model: nn.Module) -> Shapes:
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}


def check_exportable(state: Checkpoint) -> None:
    """Raise ConfigError unless a checkpoint is of a model of transformers that prunebench builds."""
    from transformers import PreTrainedModel

    name = state.architecture.model
    if not isinstance(state.model, PreTrainedModel) or models.known(name) is None:
        raise ConfigError(f"--to hf is for models of transformers (bert, hf:NAME), and {name} is none: leave it out.")


def sized(model: Any) -> tuple[Any, str]:
    """A configuration of transformers for the shapes of a pruned model; and what it cannot say of them, in words."""
    kind = _plain_class(model)
    config = _named(model.config, kind)
    want = _shapes(model)
    full = shapes_of(kind, config) or {}
    off = _off(full, want)
    while off:
        better = min(_tried(kind, config, full, want), key=lambda found: found[0], default=(len(off), None))
        if better[0] >= len(off) or better[1] is None:
            break
        config = _named(better[1], kind)
        off = _off(shapes_of(kind, config) or {}, want)
    if not off:
        return config, ""
    full = shapes_of(kind, model.config) or {}
    return _named(model.config, kind), f"{type(config).__name__} {_unsaid(off, full, want)}"


def _unsaid(off: Sequence[str], full: Shapes, want: Shapes) -> str:
    """What a configuration cannot say: which modules are gone, or else which sizes are others."""
    if gone := list(dict.fromkeys(name.rpartition(".")[0] for name in off if name not in want)):
        return f"cannot say that these are gone: {names_told(gone)}"
    layers = [name for name in off if len(want[name]) != 1] or off
    told = [f"{name} of {_times(want[name])}, once {_times(full.get(name, ()))}" for name in layers]
    return f"has no sizes for {names_told(told)}"


def _named(config: Any, kind: Any) -> Any:
    """A copy of a configuration that says of which class its model is."""
    found = copy.deepcopy(config)
    found.architectures, found.dtype = [kind.__name__], "float32"
    return found


def _plain_class(model: Any) -> Any:
    """The class of transformers of a model, which may have been given another one that is called the same."""
    import transformers

    return getattr(transformers, type(model).__name__)


def shapes_of(kind: Any, config: Any) -> Shapes | None:
    """The shapes of a model's tensors, which are given no memory; None where there is no such model."""
    try:
        with quiet(), torch.device("meta"), torch.no_grad():
            model: nn.Module = kind(copy.deepcopy(config))
    except Exception:  # transformers' models refuse sizes in their own ways
        return None
    return _shapes(model)


def _off(found: Mapping[str, tuple[int, ...]], want: Shapes) -> list[str]:
    """Names of the tensors whose shapes differ."""
    return [name for name in {**want, **found} if found.get(name) != want.get(name)]


def _tried(kind: Any, config: Any, full: Shapes, want: Shapes) -> Iterator[tuple[int, Any]]:
    """Configurations with another size, and how many tensors have another shape than they should."""
    for changes in _changes(config, full, want):
        try:
            with quiet():
                other = type(config)(**{**config.to_dict(), **changes}, attn_implementation=config._attn_implementation)
        except Exception:  # sizes that its class refuses
            continue
        if (found := shapes_of(kind, other)) is not None:
            yield len(_off(found, want)), other


def _changes(config: Any, full: Shapes, want: Shapes) -> Iterator[dict[str, Any]]:
    became: dict[int, set[int]] = {}
    for name, shape in want.items():
        if len(shape) == len(full.get(name, ())):
            for was, now in zip(full[name], shape, strict=True):
                if was != now:
                    became.setdefault(was, set()).add(now)
    became = {was: set(sorted(sizes)[-TRIED:]) for was, sizes in became.items()}
    hidden, heads = getattr(config, "hidden_size", None), getattr(config, "num_attention_heads", None)
    told = getattr(config, "head_dim", None) is not None or not (isinstance(hidden, int) and isinstance(heads, int))
    fixed = {} if told else {"head_dim": cast(int, hidden) // cast(int, heads)}
    for key, value in config.to_dict().items():
        if key[:1] == "_" or key in IDS or key in SAME or (COUNTS.match(key) and not key.endswith("experts")):
            continue
        for new in _sizes(key, value, became):
            yield {key: new}
            if fixed:
                yield {key: new, **fixed}


def _sizes(key: str, value: object, became: Mapping[int, set[int]]) -> Iterator[int | float]:
    """Values that a key may have once sizes are others: as much smaller as these are."""
    if value is None and ("inner" in key or "intermediate" in key):
        yield from sorted({now for sizes in became.values() for now in sizes})
    elif isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
        found = {value * now / was for was, sizes in became.items() for now in sizes}
        whole = isinstance(value, int)
        yield from sorted({round(each) for each in found if each == round(each)} if whole else found)


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "not there"


def _unlike(plain: Checkpoint, folder: Path) -> str:
    """In what transformers' reading of a folder differs from the model; empty where it is the same."""
    kind, inputs = _plain_class(plain.model), plain.architecture.inputs
    try:
        with quiet(), torch.no_grad():
            found, info = kind.from_pretrained(folder, output_loading_info=True)
            batches = [inputs.example(batch, seed=batch) for batch in (1, 2, 5)]
            ours, theirs = (
                torch.cat([output_of(model, batch) for batch in batches]) for model in (plain.model, found.eval())
            )
    except Exception as error:  # transformers raises in its own ways
        return f"it fails: {' '.join(str(error).split())[:200]}"
    if odd := [*info["missing_keys"], *info["unexpected_keys"]]:
        return f"it does not know {names_told(sorted(odd))}"
    difference = float((ours - theirs).abs().max())
    if not difference <= CLOSE * float(ours.abs().max()):
        return f"its answers differ by {difference:.2g}"
    return ""


def _other_tokens(text: str, folder: Path) -> str:
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer

    mine = Tokenizer.from_str(text)
    mine.no_padding()
    with quiet():
        theirs = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    same = all(mine.encode(each).ids == theirs(each, truncation=True)["input_ids"] for each in TEXTS)
    return "" if same else "its tokenizer makes other tokens of the same text; open tokenizer.json with tokenizers"


def _write_tokenizer(text: str, length: int, folder: Path) -> None:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer.from_str(text)
    pads = tokenizer.padding["pad_token"] if tokenizer.padding else "[PAD]"
    roles = {role: token for role, token in ROLES.items() if tokenizer.token_to_id(token) is not None}
    with quiet():
        PreTrainedTokenizerFast(
            tokenizer_object=tokenizer,
            pad_token=pads,
            padding_side="right",
            model_max_length=length,
            model_input_names=["input_ids", "attention_mask"],
            **roles,
        ).save_pretrained(folder)


def _processor(inputs: InputSpec) -> dict[str, Any]:
    """What transformers' processors do to images, as prunebench does it to those that have the size."""
    mean, std = (list(values) * (inputs.channels // len(values)) for values in (inputs.mean, inputs.std))
    return {
        "image_processor_type": "ViTImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"height": inputs.size, "width": inputs.size},
        "resample": 2,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": mean,
        "image_std": std,
    }


def refuse_existing(path: Path) -> None:
    """Raise ConfigError where there is something in the place of a folder that is to be written."""
    if path.exists() or path.is_symlink():
        raise ConfigError(f"{path} is there already, and nothing is replaced: give the name of a folder to be made.")
