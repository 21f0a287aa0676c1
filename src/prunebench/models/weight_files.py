"""Weight files: what others have saved, read without running code, and unwrapped; what was done is told in notes."""

from __future__ import annotations

import _codecs
import argparse
import json
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError

from prunebench.errors import ModelError
from prunebench.models.normalisation import Statistics, statistics_beside, statistics_in, unsound_beside, unsound_in
from prunebench.models.tensor_files import read_tensors
from prunebench.reading import check_plain, open_plain, read_text
from prunebench.runs.mistaken import beginning, kind_by, stand_in

Tensors = dict[str, torch.Tensor]

NESTED = ("state_dict", "model_state_dict", "model", "net", "network", "weights", "params", "module")
"""Under which names files hold a state dict, the likeliest first."""

TORCHS = (b"PK", b"\x80\x02")
"""First bytes of the files that torch.save writes: now, and before torch 1.6."""

AGAIN = "Fetch or make it again"

SHOWN = 5
"""Names that are listed before the others are counted."""

PLAIN: list[Any] = [
    argparse.Namespace,
    np.dtype,
    *{type(np.dtype(kind)) for kind in "?bBhHiIlLqQefd"},
    (np.float64(0).__reduce__()[0], "numpy.core.multiarray.scalar"),  # as NumPy 1 wrote it
    (np.float64(0).__reduce__()[0], "numpy._core.multiarray.scalar"),
    (_codecs.encode, "_codecs.encode"),
    *((PurePosixPath, f"{module}.PosixPath") for module in ("pathlib", "pathlib._local")),
    *((PureWindowsPath, f"{module}.WindowsPath") for module in ("pathlib", "pathlib._local")),
]
"""What training scripts save beside weights: settings, paths, NumPy's numbers. None runs code when it is read."""


@dataclass(frozen=True)
class WeightFile:
    """What a file holds.

    Attributes:
        tensors: by the names that the file has for them.
        notes: what was done with the file, a line each.
        statistics: what images are to be normalised with, where the file or one beside it says so.
        structure: of a file that `prunebench export` wrote, the JSON of its model's Structure.
        tokenizer: of such a file, where its model reads text.
    """

    tensors: Tensors
    notes: tuple[str, ...] = ()
    statistics: Statistics | None = None
    structure: str | None = None
    tokenizer: str | None = None


def read_weights(path: Path) -> WeightFile:
    """The tensors of a safetensors file, or of a torch file that holds a state dict; never unpickles code.

    Raises:
        ModelError: the file is something else.
    """
    found, about = _opened(path)
    tensors, notes = _state_in(found, str(path))
    statistics = statistics_in(about) or statistics_beside(path)
    unsound = "" if statistics else unsound_in(about) or unsound_beside(path)
    own = about if path.suffix.lower() == ".safetensors" or _is_safetensors(path) else {}
    return WeightFile(
        tensors, (*notes, unsound) if unsound else notes, statistics, own.get("structure"), own.get("tokenizer")
    )


IN_FOLDERS = ("model.safetensors", "model-*.safetensors", "pytorch_model.bin", "pytorch_model-*.bin")
"""Weight files of a Hugging Face folder; of several kinds the first is read."""


def read_folder(folder: Path) -> WeightFile:
    """The tensors of all weight files of a Hugging Face folder, which may be in several parts.

    Raises:
        ModelError: there are none, or they cannot be read.
    """
    found = {pattern: paths for pattern in IN_FOLDERS if (paths := _named(folder, sorted(folder.glob(pattern))))}
    for paths in found.values():
        files = [read_weights(path) for path in paths]
        tensors = {name: tensor for file in files for name, tensor in file.tensors.items()}
        others = [path.name for several in found.values() for path in several if path not in paths]
        beside = [f"{names_told(others)} beside {paths[0].name} is not read"] if others else []
        return WeightFile(tensors, tuple(dict.fromkeys([*beside, *(note for file in files for note in file.notes)])))
    raise ModelError(f"{folder} holds no weights: neither model.safetensors nor pytorch_model.bin.")


def _named(folder: Path, paths: list[Path]) -> list[Path]:
    """Of several parts those that the folder's index names, if it has one.

    Raises:
        ModelError: one that it names is not there.
    """
    index = folder / f"{paths[0].name.partition('-')[0]}{paths[0].suffix}.index.json" if paths else folder
    if not index.is_file() or "-" not in paths[0].name:
        return paths
    try:
        names = {str(name) for name in json.loads(read_text(index))["weight_map"].values()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{index} cannot be read as an index of weights: {error}.") from error
    if missing := sorted(names - {path.name for path in paths}):
        raise ModelError(f"{index} names {names_told(missing)}, which {are(missing)} not there. {AGAIN}.")
    return [path for path in paths if path.name in names]


def names_told(names: Iterable[str]) -> str:
    """`a, b and 7 more`."""
    all_names = list(names)
    rest = f" and {len(all_names) - SHOWN} more" if len(all_names) > SHOWN else ""
    return ", ".join(all_names[:SHOWN]) + rest


# Reading


def _opened(path: Path) -> tuple[Any, Any]:
    """What a file holds, and where it tells about itself: for safetensors in its metadata."""
    try:
        check_plain(path)
        if path.suffix.lower() == ".safetensors" or _is_safetensors(path):
            return read_tensors(path)
        if part := _broken_part(path):
            raise ModelError(f"{path} is damaged: the checksum of its part {part} is wrong. {AGAIN}.")
        with torch.serialization.safe_globals(PLAIN), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of TorchScript and of quantised tensors, which are refused below
            found = torch.load(path, map_location="cpu", weights_only=True)
        return found, found
    except ModelError:
        raise
    except Exception as error:  # torch.load raises whatever the bytes lead it to
        raise ModelError(_unreadable(path, error)) from error


def _is_safetensors(path: Path) -> bool:
    """Whether a file of another name is one: the length of its header, and then JSON."""
    with open_plain(path) as file:
        return file.read(9)[8:] == b"{"


def _broken_part(path: Path) -> str:
    """The first part of an archive of torch that has another checksum than it is to have, which torch does not look at.

    Archives that were written without checksums hold zeros for them. Empty where nothing is wrong, or it is no archive.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError):  # torch tells
        return ""
    with archive:
        for part in archive.infolist():
            try:
                with archive.open(part) as stream:
                    while part.CRC and stream.read(1 << 20):
                        pass
            except (zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError):
                return part.filename
    return ""


def _unreadable(path: Path, error: Exception) -> str:
    text = str(error) or type(error).__name__
    if other := _what_else(path):
        return f"{path} cannot be read as weights: it is {other}."
    if "PytorchStreamReader" in text or (beginning(path).startswith(TORCHS[0]) and not zipfile.is_zipfile(path)):
        return f"{path} cannot be read as weights: it is damaged, or cut off. {AGAIN}."
    if named := re.search(r"[Uu]nsupported (?:global|class|operand|GLOBAL)[: ]+(?:GLOBAL )?(\S+)", text):
        reason = f"it holds {named.group(1)}, which is no tensor"
    elif "TorchScript" in text:
        reason = "it is a TorchScript program"
    elif isinstance(error, OSError) and error.strerror:
        return f"{path} cannot be read as weights: {error.strerror}."
    elif isinstance(error, SafetensorError | OSError):
        return f"{path} cannot be read as weights: {text.splitlines()[0].rstrip('.')}."
    else:
        reason = text.splitlines()[0].partition(" (1)")[0].rstrip(".")
    return (
        f"{path} cannot be read as weights without running code from it: {reason}. Save the weights alone, by "
        f"torch.save(model.state_dict(), FILE) or as safetensors."
    )


def _what_else(path: Path) -> str:
    """What a file is that is mistaken for weights now and then; empty where it is nothing that is known."""
    begins = beginning(path)
    if not begins:
        return "empty" if path.is_file() and not path.stat().st_size else ""
    if begins.startswith(TORCHS) or _is_safetensors(path) or path.suffix.lower() == ".safetensors":
        return stand_in(begins)
    page = "a web page. Download the file itself" if begins.lstrip()[:1] == b"<" else ""
    return stand_in(begins) or page or kind_by(begins) or "none that torch or safetensors write"


def _state_in(found: Any, name: str) -> tuple[Tensors, tuple[str, ...]]:
    """The state dict of what a file holds, and where it was found.

    Raises:
        ModelError: there is none, or there are several that may be meant.
    """
    path: list[str] = []
    beside: list[str] = []
    while isinstance(found, Mapping):
        inside = [key for key, value in found.items() if _holds_tensors(value)]
        likely = [key for key in NESTED if key in inside]
        chosen = likely[:1] or (inside if not _is_state(found) else [])
        if not chosen:
            break
        if len(chosen) > 1:
            raise ModelError(
                f"{name} holds several models, {names_told(map(repr, chosen))}. Save the one that is meant alone."
            )
        path.append(str(chosen[0]))
        beside += [str(key) for key in inside if key != chosen[0]]
        found = found[chosen[0]]
    if not _is_state(found):
        raise ModelError(f"{name} holds no state dict, that is no mapping from parameter names to tensors.")
    others = [str(key) for key, value in found.items() if not isinstance(value, torch.Tensor)]
    if odd := [key for key in others if "." in key and not key.endswith("_extra_state")]:
        raise ModelError(f"{name} holds {names_told(odd)}, which {are(odd)} no tensor: such a model is quantised.")
    notes = [f"taken from {'.'.join(path)} of the file"] if path else []
    notes += [f"the file holds {names_told(beside)} too, which {are(beside)} not used"] if beside else []
    notes += [f"{names_told(others)} left out: no tensor"] if others else []
    return {str(key): value for key, value in found.items() if str(key) not in others}, tuple(notes)


def _is_state(value: Any) -> bool:
    """Whether something is a mapping from names to tensors, of which at least one is there."""
    return (
        isinstance(value, Mapping)
        and all(isinstance(key, str) for key in value)
        and any(isinstance(tensor, torch.Tensor) for tensor in value.values())
        and not any(isinstance(tensor, Mapping) for tensor in value.values())
    )


def _holds_tensors(value: Any) -> bool:
    """Whether something is a state dict, or one is nested in it; the state of an optimizer is none."""
    if not isinstance(value, Mapping) or "param_groups" in value:
        return False
    return _is_state(value) or any(key in value and _holds_tensors(value[key]) for key in NESTED)


def are(names: list[str]) -> str:
    """The verb for some names: "is" for one, "are" for more."""
    return "is" if len(names) == 1 else "are"
