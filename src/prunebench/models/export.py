"""Exports: a pruned model in one file, for use elsewhere.

safetensors   weights, structure and tokenizer: `prunebench.models.loading.load` makes a module of it
masks         the same, of a model with masks: weights as `_orig` and `_mask`, as torch.nn.utils.prune has them
pt2           a traced program: torch.export.load runs it, without prunebench
onnx          the same program for onnxruntime and other runtimes

Each holds the names of the classes, where they are known, as a JSON list called `classes`: in the metadata of
safetensors and of ONNX, in an extra file of pt2.
"""

from __future__ import annotations

import importlib
import io
import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import nn
from torch.export import Dim, ExportedProgram
from torch.nn.utils.prune import identity

from prunebench.errors import ConfigError, ModelError
from prunebench.models.architecture import ModelEntry, models
from prunebench.models.checkpoint import Checkpoint, structure_of, write_tensors
from prunebench.models.folder_export import refuse_existing, write_folder
from prunebench.models.input_spec import InputSpec, output_of
from prunebench.models.loading import load
from prunebench.models.sharing import first_names
from prunebench.models.taken_over import copied
from prunebench.models.tensor_files import read_tensors
from prunebench.models.undisturbed import undisturbed
from prunebench.runs.files import check_output, fresh, make, move
from prunebench.runs.files import replace as replace_file

FORMATS = ("safetensors", "masks", "pt2", "onnx")

BATCHES = (1, 2, 5)
"""Sizes of the batches that a file is checked with; it is traced with one of them."""

Answer = Callable[[Any], torch.Tensor]
"""Turns a batch, as `InputSpec.example` makes it, into logits of shape (batch, classes)."""


@undisturbed
def export(
    checkpoint: Checkpoint, to: str, path: Path, classes: Sequence[str] = (), entry: ModelEntry | None = None
) -> float:
    """Write the model, in eval mode and fp32, to `path`; return how far the file's answers are from the model's.

    That is the largest absolute difference between the logits of the model and of the file read back, over random
    batches of 1, 2 and 5; NaN where either answers with NaN. An existing file is replaced at the end, or not at all.

    The programs (pt2, onnx) read `images`, or `input_ids` and `attention_mask`, and return `logits` of shape
    (batch, classes). The batch may have any size and sentences any length that the model takes; of a user's own model
    whose code fixes the length, as traced. Images keep their size.

    `entry` is the model's, with which a file that is a module is read back; where a user's own is not known, a copy of
    the model stands in for what builds it.

    Raises:
        ConfigError: there is no such format, or what it needs is not installed, or the file may not be written there.
        ModelError: the model cannot be exported to this format.
        OSError: the file cannot be written, for example because the disk is full.
    """
    if to not in FORMATS:
        raise ConfigError(f"There is no format {to!r}. There are: {', '.join(FORMATS)}.")
    check_output(path)
    make(path.parent)
    plain = replace(checkpoint, model=_plain(checkpoint.model))
    about = {"classes": json.dumps(list(classes))} if classes else {}
    try:
        with fresh(path) as folder, _silence(), torch.no_grad():
            beside = folder / ("model.safetensors" if to == "masks" else f"model.{to}")
            answer = _WRITERS[to](plain, beside, about, entry)
            difference = _difference(plain, answer)
            replace_file(beside, path)
            return difference
    except (ConfigError, OSError):
        raise
    except Exception as error:  # exporters, and users' models in them, fail in their own ways
        other = "pt2" if to == "safetensors" else "safetensors"
        name = checkpoint.architecture.model
        raise ModelError(f"{name} cannot be exported to {to}: {_reason(error)}. Try {other} instead.") from error


@undisturbed
def export_folder(
    checkpoint: Checkpoint, path: Path, classes: Sequence[str] = (), *, several: bool = False
) -> tuple[float, str]:
    """Write a model of transformers as a folder like those of Hugging Face, whole or not at all; `several` says that
    a sample may have several labels.

    Returns how far the answers of the folder are from the model's, as `export` does, and why transformers itself does
    not read it, which is empty where it does: that was tried.

    Raises:
        ConfigError: it is no model of transformers, or there is something in its place.
        ModelError: it cannot be written so.
        OSError: it cannot be written, for example because the disk is full.
    """
    check_output(path, folder=True)
    refuse_existing(path)
    make(path.parent)
    plain = replace(checkpoint, model=_plain(checkpoint.model))
    try:
        with fresh(path) as folder, _silence(), torch.no_grad():
            whole = folder / "whole"
            make(whole)
            why = write_folder(plain, whole, classes, several=several)
            difference = _difference(plain, partial(output_of, load(whole)))
            refuse_existing(path)
            move(whole, path)
            return difference, why
    except (ConfigError, OSError):
        raise
    except Exception as error:  # transformers fails in its own ways
        name = checkpoint.architecture.model
        raise ModelError(f"{name} cannot be exported to hf: {_reason(error)}. Try safetensors instead.") from error


def onnx_program(state: Checkpoint) -> bytes:
    """The model, in eval mode and fp32, as the bytes of an ONNX file; inputs and output are those that `export` tells.

    Raises:
        ConfigError: what it needs is not installed.
        Exception: the exporter's own, where it cannot trace the model.
    """
    with _silence(), torch.inference_mode(False), torch.no_grad():
        return _onnx_program(replace(state, model=_plain(state.model)))


def _plain(model: nn.Module) -> nn.Module:
    """A copy in eval mode, on the CPU, in fp32, and contiguous, as files are: strides change the last bits."""
    return copied(model).cpu().float().to(memory_format=torch.contiguous_format).eval()


def _difference(plain: Checkpoint, answer: Answer) -> float:
    """Largest absolute difference of logits. Joined before they are compared, since batches of 1 would broadcast."""
    batches = [plain.architecture.inputs.example(batch, seed=batch) for batch in BATCHES]
    ours = torch.cat([output_of(plain.model, batch) for batch in batches])
    theirs = torch.cat([answer(batch) for batch in batches])
    return float((ours - theirs).abs().max())


def _reason(error: BaseException) -> str:
    """The first line of what an error goes back to; the exporters wrap it in advice on how to debug them."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines() or ["no reason is given"]
    return f"{type(error).__name__}: {lines[0].rstrip('.')}"


@contextmanager
def _silence() -> Iterator[None]:
    """Exporters print, log and warn, up to whole graphs; what a user can mend comes back as an error."""
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


# Each writes a file and returns what answers from it.


def _safetensors(plain: Checkpoint, path: Path, about: dict[str, str], entry: ModelEntry | None) -> Answer:
    write_tensors(plain.model.state_dict(), path, _metadata(plain, about))
    registered = models.known(plain.architecture.model) is not None
    return partial(output_of, load(path, None if registered else plain.model if entry is None else entry.build))


def _masks(plain: Checkpoint, path: Path, about: dict[str, str], entry: ModelEntry | None) -> Answer:
    if not plain.masks:
        raise ConfigError("Nothing is masked in this step, so there are no masks to write. Give --to safetensors.")
    state = {}
    first = first_names(plain.model)
    for name, tensor in plain.model.state_dict().items():
        mask = plain.masks.get(first.get(name, name))
        if mask is None:
            state[name] = tensor
        else:
            state |= {f"{name}_orig": tensor, f"{name}_mask": mask.to(tensor)}
    write_tensors(state, path, _metadata(plain, about))
    masked = copied(plain.model)
    for name in first:
        if first[name] in plain.masks:
            layer, _, parameter = name.rpartition(".")
            identity(masked.get_submodule(layer), parameter)
    masked.load_state_dict(read_tensors(path)[0])
    return partial(output_of, masked.eval())


def _metadata(plain: Checkpoint, about: dict[str, str]) -> dict[str, str]:
    tokenizer = {} if plain.tokenizer is None else {"tokenizer": plain.tokenizer}
    return {**about, "format": "pt", "structure": structure_of(plain).decode(), **tokenizer}


def _pt2(plain: Checkpoint, path: Path, about: dict[str, str], entry: ModelEntry | None) -> Answer:
    data = io.BytesIO()  # torch ends the process where it writes to a full disk itself
    torch.export.save(_trace(plain), data, extra_files=dict(about))
    path.write_bytes(data.getbuffer())
    found = torch.export.load(path).module()
    return lambda batch: found(*_named(batch).values())


def _onnx(plain: Checkpoint, path: Path, about: dict[str, str], entry: ModelEntry | None) -> Answer:
    try:
        runtime = importlib.import_module("onnxruntime")
    except ImportError as error:
        raise _missing(error) from error
    path.write_bytes(_onnx_program(plain, about))  # the exporter's own `save` splits files from 1.5 GB on
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4
    session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def answer(batch: Any) -> torch.Tensor:
        (logits,) = session.run(["logits"], {name: tensor.numpy() for name, tensor in _named(batch).items()})
        return torch.from_numpy(logits)

    return answer


def _onnx_program(plain: Checkpoint, about: Mapping[str, str] = MappingProxyType({})) -> bytes:
    try:
        for name in ("onnx", "onnxscript"):
            importlib.import_module(name)
    except ImportError as error:
        raise _missing(error) from error
    size = sum(tensor.nbytes for tensor in plain.model.state_dict().values())
    if size >= 2**31:
        raise ValueError(f"its weights take {size / 1e9:.1f} GB, and one ONNX file holds at most 2.1")
    program: Any = torch.onnx.export(
        _trace(plain),
        dynamo=True,
        dynamic_shapes=_axes(plain.architecture.inputs, "batch", "length"),  # names for what was traced already
        input_names=list(_named(plain.architecture.inputs.example())),
        output_names=["logits"],
        verbose=False,
    )
    proto = program.model_proto
    for name, value in about.items():
        entry = proto.metadata_props.add()
        entry.key, entry.value = name, value
    found: bytes = proto.SerializeToString()
    return found


def _missing(error: ImportError) -> ConfigError:
    return ConfigError(
        f"{error.name} is not installed, which ONNX needs: install it with: pip install 'prunebench[onnx]'"
    )


_WRITERS = {"safetensors": _safetensors, "masks": _masks, "pt2": _pt2, "onnx": _onnx}


# Tracing: a program of named tensors in and one tensor out.


class _Images(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return output_of(self.model, images)


class _Text(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return output_of(self.model, {"input_ids": input_ids, "attention_mask": attention_mask})


def _trace(plain: Checkpoint) -> ExportedProgram:
    """The model as a program. A batch of one would be traced as the only size that it takes."""
    inputs = plain.architecture.inputs
    module = (_Images if inputs.kind == "images" else _Text)(plain.model)
    example = tuple(_named(inputs.example(2)).values())
    return torch.export.export(module, example, dynamic_shapes=_axes(inputs, Dim.DYNAMIC, Dim.AUTO))


def _named(batch: Any) -> dict[str, torch.Tensor]:
    """A batch under the names of the program's inputs, in their order."""
    return batch if isinstance(batch, dict) else {"images": batch}


def _axes(inputs: InputSpec, batch: Any, length: Any) -> dict[str, dict[int, Any]]:
    """Per input, the axes that are not fixed."""
    free = {0: batch} if inputs.kind == "images" else {0: batch, 1: length}
    return dict.fromkeys(_named(inputs.example()), free)
