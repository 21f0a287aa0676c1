"""Checkpoints: modules ↔ safetensors and structure JSON, no pickle.

    model.safetensors   every parameter and buffer, once
    structure.json      format, architecture, and the sizes of every layer
    masks.safetensors   where weights are masked, a bit per weight (mask_bits)
    kept.json           which units of the full model are left, where some were removed (kept)
    tokenizer.json      for text

A pruned model is loaded by building its full architecture, having removed blocks hand on what they are given, setting
the sizes that pruning changes, and filling in the weights. Sizes are whole numbers that the built model has as well; no
text from a file reaches `setattr`.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn

from prunebench.errors import RunError
from prunebench.models import kept as kept_units
from prunebench.models.architecture import ARGUMENTS, Architecture, ModelEntry
from prunebench.models.input_spec import InputSpec
from prunebench.models.kept import Kept
from prunebench.models.mask_bits import packed, unpacked
from prunebench.models.masks import Masks
from prunebench.models.passing import Outputs, pass_all_on, passing_of
from prunebench.models.reshaping import Reshaping, reshapings_of
from prunebench.models.sharing import by_first_names, first_names, part
from prunebench.models.sizes import Sizes, integers, restore, tensors_of
from prunebench.models.tensor_files import read_tensors, with_versions
from prunebench.reading import RECORD, read_plain, read_text
from prunebench.records import FORMAT, other_format
from prunebench.registry import is_code
from prunebench.runs.files import permit


@dataclass(frozen=True)
class Checkpoint:
    """A model with what is needed to use it: its architecture, its masks, and for text its tokenizer's JSON.

    `kept` says which units are left of those that the full model has; nothing where it was pruned by a version that did
    not record it.

    Of a model that has just been made of weights from elsewhere, `notes` say what was done with them, and `fresh` names
    the parameters that they had nothing for; neither is stored.
    """

    architecture: Architecture
    model: nn.Module
    masks: Masks
    tokenizer: str | None = None
    notes: tuple[str, ...] = ()
    fresh: tuple[str, ...] = ()
    kept: Kept = field(default_factory=dict)


class Structure(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`structure.json`: the architecture, module name → size name → value, module name → what it gets instead of sizes
    that its code asks for, and the names of removed blocks → what they give."""

    format: int
    architecture: Architecture
    sizes: dict[str, dict[str, int]]
    reshapings: dict[str, Reshaping] = msgspec.field(default_factory=dict)
    passing: dict[str, Outputs] = msgspec.field(default_factory=dict)


def save(checkpoint: Checkpoint, folder: Path) -> None:
    """Write a checkpoint into an existing folder."""
    writer(checkpoint)(folder)


def writer(checkpoint: Checkpoint) -> Callable[[Path], None]:
    """What writes a checkpoint, as it is now, into an existing folder, perhaps in another thread.

    Parameters and masks are read only then, and must be as they are now: nothing may train the model meanwhile. It may
    be asked for outputs, whatever that changes in its buffers and attributes.
    """
    buffers = {name for name, _ in checkpoint.model.named_buffers(remove_duplicate=False)}
    weights = {
        name: tensor.clone() if name in buffers else tensor for name, tensor in weights_of(checkpoint.model).items()
    }
    structure = msgspec.json.format(structure_of(checkpoint), indent=1)

    def write(folder: Path) -> None:
        write_tensors(weights, folder / "model.safetensors")
        if checkpoint.masks:
            bits, shapes = packed(checkpoint.masks)
            write_tensors(bits, folder / "masks.safetensors", shapes)
        if checkpoint.kept:
            kept_units.save(checkpoint.kept, folder)
        if checkpoint.tokenizer is not None:
            (folder / "tokenizer.json").write_text(checkpoint.tokenizer, encoding="utf-8")
        (folder / "structure.json").write_bytes(structure)

    return write


def weights_of(model: nn.Module) -> dict[str, torch.Tensor]:
    """All parameters and buffers; of what has several names by the first."""
    first = first_names(model, buffers=True)
    return {name: tensor for name, tensor in model.state_dict().items() if first.get(name, name) == name}


def load(folder: Path, entry: ModelEntry | None = None) -> Checkpoint:
    """Read a checkpoint; the model is on the CPU, in eval mode.

    `entry` is the model's; only a registered one is looked up by its name in the checkpoint.

    Raises:
        RunError: a file is missing or damaged, or does not fit the architecture.
    """
    try:
        structure = read_plain(folder / "structure.json")
        state, _ = read_tensors(folder / "model.safetensors")
        kept_masks = folder / "masks.safetensors"
        masks = unpacked(*read_tensors(kept_masks)) if kept_masks.exists() else {}
        tokenizer = _tokenizer(folder)
    except (OSError, SafetensorError, ValueError) as error:
        raise RunError(f"{folder} cannot be read as a checkpoint: {error}") from error
    found = assemble(structure, state, masks, tokenizer, entry=entry, name=str(folder))
    return replace(found, kept=kept_units.load(folder))


def inputs_of(folder: Path) -> tuple[InputSpec, str | None]:
    """What the model of a checkpoint reads, and for text its tokenizer's JSON; raises as `architecture_in`."""
    inputs = architecture_in(folder).inputs
    try:
        return inputs, _tokenizer(folder)
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{folder} cannot be read as a checkpoint: {error}") from error


def architecture_in(folder: Path) -> Architecture:
    """The architecture of a checkpoint; its weights are not read.

    Raises:
        RunError: a file is missing or damaged.
    """
    try:
        return msgspec.json.decode(read_plain(folder / "structure.json"), type=Structure).architecture
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise RunError(f"{folder} cannot be read as a checkpoint: {error}") from error


def structure_of(checkpoint: Checkpoint) -> bytes:
    """The JSON of a checkpoint's Structure."""
    sizes = {name: integers(module) for name, module in checkpoint.model.named_modules()}
    found = {name: size for name, size in sizes.items() if size}
    model = checkpoint.model
    told = Structure(FORMAT, checkpoint.architecture, found, reshapings_of(model), passing_of(model))
    return msgspec.json.encode(told)


def model_of(structure: str | bytes) -> str | None:
    """The name of, or reference to, what builds the model of a Structure's JSON; None where that is damaged."""
    try:
        return msgspec.json.decode(structure, type=Structure).architecture.model
    except msgspec.MsgspecError:
        return None


def assemble(
    structure: bytes,
    state: dict[str, torch.Tensor],
    masks: Masks,
    tokenizer: str | None,
    *,
    entry: ModelEntry | None = None,
    name: str,
) -> Checkpoint:
    """The checkpoint of a Structure's JSON and its tensors; `name` is where they come from, for messages.

    Raises:
        RunError: the JSON is damaged or of another format, or the tensors do not fit it.
    """
    try:
        version = msgspec.json.decode(structure).get("format")
        if version != FORMAT:
            raise RunError(other_format(name, version))
        found = msgspec.json.decode(structure, type=Structure)
    except (msgspec.MsgspecError, AttributeError) as error:
        raise RunError(f"{name} cannot be read as a checkpoint: {error}") from error
    if unknown := found.architecture.arguments.keys() - ARGUMENTS.keys():
        raise RunError(f"{name} cannot be read as a checkpoint: a model is not built from {min(unknown)!r}.")
    about = found.architecture
    if entry is None and is_code("model", about.model):  # nothing is imported because a file names it
        raise RunError(f"{name} names {about.model}. Give what builds the model: load(path, model=build).")
    model = about.build(entry)
    pass_all_on(model, found.passing)
    state = _with_all_names(model, state)
    resize(model, found.sizes, state, found.reshapings)
    try:
        model.load_state_dict(with_versions(model, state))
    except RuntimeError as error:
        raise RunError(f"{name}: its weights do not fit {found.architecture.model}: {error}") from error
    return Checkpoint(found.architecture, model.eval(), by_first_names(masks, model), tokenizer)


def build_alike(checkpoint: Checkpoint, entry: ModelEntry | None = None) -> nn.Module:
    """A model built anew that has lost the units and blocks that a checkpoint's has lost; with other weights.

    `entry` is the model's, where it is known. Raises as `Architecture.build`.
    """
    model, like = checkpoint.architecture.build(entry), checkpoint.model
    pass_all_on(model, passing_of(like))
    sizes = {name: integers(module) for name, module in like.named_modules()}
    resize(model, sizes, _with_all_names(model, weights_of(like)), reshapings_of(like))
    return model


def _with_all_names(model: nn.Module, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint by every name that the model has for them.

    What the model holds once and the checkpoint of an earlier version has parted is parted in the model.
    """
    found, parameters = dict(state), first_names(model)
    for name, first in first_names(model, buffers=True).items():
        if first in state:
            same = torch.equal(found.setdefault(name, state[first]), state[first])
            if name in parameters and not same:
                part(model, name)
    return found


def resize(
    model: nn.Module,
    sizes: dict[str, dict[str, int]],
    state: dict[str, torch.Tensor],
    reshapings: dict[str, Reshaping] | None = None,
) -> None:
    """Give the layers of a full model the sizes of a pruned one, and parameters and buffers the shapes of `state`.

    Of the sizes only those are taken that are smaller than what the model has under the same name.

    Raises:
        RunError: `state` is not of such a model.
    """
    known = {name: state[name].shape for name in tensors_of(model) if name in state}
    shapes = {name: [*shape] for name, shape in known.items() if shape != tensors_of(model)[name].shape}
    attributes = {
        path: {key: own[key] for key, value in integers(module).items() if 0 < own.get(key, value) < value}
        for path, module in model.named_modules()
        if (own := sizes.get(path))
    }
    restore(model, Sizes(shapes, attributes, reshapings or {}))


def _tokenizer(folder: Path) -> str | None:
    path = folder / "tokenizer.json"
    return read_text(path, at_most=RECORD) if path.exists() else None


def write_tensors(tensors: Masks, path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write tensors from any device as a safetensors file, contiguous, none sharing its memory with another.

    Raises:
        OSError: they cannot be written, for example because the disk is full.
    """
    seen: set[int] = set()
    storable = {}
    for name, tensor in tensors.items():
        flat = tensor.detach().cpu().contiguous()
        if flat.untyped_storage().data_ptr() in seen:
            flat = flat.clone()
        storable[name] = flat
        seen.add(flat.untyped_storage().data_ptr())
    try:
        save_file(storable, path, metadata)
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        code = int(number.group(1)) if number else errno.EIO
        raise OSError(code, os.strerror(code), str(path)) from error
    permit(path)  # the library lets nobody else read it
