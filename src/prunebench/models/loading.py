"""Loading: the pruned model alone, from a run, the folder of one of its steps, or a file of `prunebench export`.

    model = prunebench.load("runs/resnet18-structured-1f0c…")

Neither torch-pruning nor pickle takes part in it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from torch import nn

from prunebench.errors import ConfigError, ModelError, RunError
from prunebench.models import checkpoint
from prunebench.models.architecture import ModelEntry, models
from prunebench.models.checkpoint import Checkpoint
from prunebench.models.fitting import merged
from prunebench.models.tensor_files import read_tensors
from prunebench.models.undisturbed import undisturbed
from prunebench.registry import is_code
from prunebench.runs.index import find, is_run_folder
from prunebench.runs.trust import check

PICKLES = (".pt", ".pth", ".pkl")
OPENED_BY = {".pt2": "torch.export.load", ".onnx": "onnxruntime.InferenceSession"}


@undisturbed
def load(path: str | Path, model: Any = None) -> nn.Module:
    """The pruned model of a run, of a step's folder, or of an exported `.safetensors` file, on the CPU, in eval mode.

    Of a run it is that of the last step whose checkpoint was kept. The checksums of a run's files are checked.

    `model` builds a user's own model: a function, `path.py:function`, or a model itself, of which a copy is taken.
    A folder's own reference to a function is followed where `model` is not given and the function is one that was
    given on this machine when a run was made (`runs.trust`); that of a file is not: files come from anywhere.

    Raises:
        RunError: there is no checkpoint, or it is damaged, of another format, or does not fit the model.
        ModelError: the path holds a pickle, or the model cannot be built.
    """
    path = Path(path)
    if path.suffix.lower() in PICKLES:
        raise ModelError(
            f"{path} holds a pickle, which may run code when it is opened; prunebench opens safetensors only. "
            f"Give a file that prunebench export wrote, or a checkpoint's folder."
        )
    if not path.exists():
        raise RunError(f"There is no file or folder {path}.")
    entry = None if model is None else models.get(model)
    found = _from_folder(_intact(path), entry) if path.is_dir() else _from_file(path, entry)
    return found.model


def _intact(folder: Path) -> Path:
    """The checkpoint's folder, after checking its files where `run.json` lists them."""
    if is_run_folder(folder):
        run = find(folder.parent, str(folder))
        steps = run.checkpoints()
        return run.checkpoint(steps[-1] if steps else run.steps()[-1])
    folder = folder.resolve()
    run_folder = folder.parent.parent
    if folder.parent.name == "steps" and folder.name.isdecimal() and is_run_folder(run_folder):
        return find(run_folder.parent, str(run_folder)).checkpoint(int(folder.name))
    return folder


def _from_folder(folder: Path, entry: ModelEntry | None) -> Checkpoint:
    if not (folder / "structure.json").exists():
        raise RunError(f"{folder} is no checkpoint: it has no structure.json. Give a run's folder, or a step's.")
    return checkpoint.load(folder, entry or _believed(folder))


def _believed(folder: Path) -> ModelEntry | None:
    """What builds the model of a checkpoint that names a function: only one that the user gave on this machine.

    Raises:
        ModelError: it names another.
    """
    about = checkpoint.architecture_in(folder)
    if models.known(about.model) is not None:
        return None
    build = "Give what builds the model: load(path, model=build)."
    if not is_code("model", about.model):
        raise ModelError(f"{folder} names {about.model}, which only the program that made it holds. {build}")
    try:
        check("model", about.model, about.arguments.get("given"), whose=str(folder), instead=build)
        return models.get(about.model)
    except ConfigError as error:
        raise ModelError(str(error)) from error


def _from_file(path: Path, entry: ModelEntry | None) -> Checkpoint:
    if path.suffix in OPENED_BY:
        raise RunError(f"{path} is a program, not a module to train on: open it with {OPENED_BY[path.suffix]}.")
    try:
        state, about = read_tensors(path)
    except (OSError, SafetensorError) as error:
        raise RunError(f"{path} cannot be read as safetensors: {error}") from error
    if "structure" not in about:
        raise RunError(
            f"{path} was not written by prunebench export: its metadata has no structure to build the model from. "
            f"Weights alone start a run: prunebench train --weights {path}"
        )
    structure = about["structure"].encode()
    if entry is None and (name := _users_own(structure)):
        raise ModelError(
            f"{path} holds a model that {name} builds, and no code is run because a file names it.\n"
            f"Give what builds the model: load(path, model=build)."
        )
    state, masks, _ = merged(state, {})
    return checkpoint.assemble(structure, dict(state), masks, about.get("tokenizer"), entry=entry, name=str(path))


def _users_own(structure: bytes) -> str | None:
    """What builds the model of a Structure's JSON, unless that is a registered name, or a library's, or the JSON is
    damaged."""
    name = checkpoint.model_of(structure)  # where it is damaged, assembling tells
    return name if models.known(name) is None else None
