"""Tensor files: safetensors with their metadata, wherever they lie; the library takes no path that is not UTF-8."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load
from torch import nn

from prunebench.reading import check_plain


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Name → tensor of a safetensors file, on the CPU, and its metadata.

    Raises:
        OSError: it cannot be read.
        SafetensorError: it is none, or damaged.
    """
    check_plain(path)
    try:
        str(path).encode()
    except UnicodeEncodeError:
        data = path.read_bytes()
        tensors = load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        return tensors, header.get("__metadata__", {})
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118  # no mapping


def owned(path: Path) -> dict[str, torch.Tensor]:
    """The same tensors in memory of their own: the library's are the file itself, with which they would change, and
    which Windows could not remove.

    Raises:
        OSError: it cannot be read.
        SafetensorError: it is none, or damaged.
    """
    return {name: tensor.clone() for name, tensor in read_tensors(path)[0].items()}


def with_versions(model: nn.Module, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors of a model as a state that it loads: some modules ask for their version, which files of tensors lack."""
    state = OrderedDict(tensors)
    state._metadata = model.state_dict()._metadata  # type: ignore[attr-defined]
    return state
