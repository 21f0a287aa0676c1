"""What `export` and `prune --export` share: where a file may go, and what is said of it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from prunebench.experiment.plan import some
from prunebench.models.architecture import ModelEntry
from prunebench.runs.run import Run

FORMATS = ("safetensors", "masks", "pt2", "onnx")

BY_NAME = ("safetensors", "pt2", "onnx")
"""Formats that the ending of a file's name tells."""

ENDINGS = {"masks": "masks.safetensors"}
"""How names of files end whose formats have no ending of their own."""

FOLDER = "hf"
"""The format that is a folder, and no file."""

READS = "transformers reads it too, and answers alike; so does prunebench: --model hf:FOLDER --weights default"


class Exported(msgspec.Struct, frozen=True):
    """A file or folder that was written, its bytes, and the largest absolute difference of its outputs to the model's.

    `transformers` says whether transformers reads a folder, or why not; empty of a file.
    """

    run: str
    step: int
    path: str
    bytes: int
    difference: float
    reads: str
    classes: tuple[str, ...] = ()
    transformers: str = ""

    def text(self) -> str:
        """What is said of it."""
        answers = f"answers with a logit per class, in this order: {some(self.classes)}\n" if self.classes else ""
        return (
            f"written {self.path} ({self.bytes / 1e6:.1f} MB): step {self.step} of run {self.run}\n"
            f"reads {self.reads}\n{answers}"
            f"largest difference to the model's outputs, over batches of 1, 2 and 5: {self.difference:.2g}"
            f"{self.transformers and chr(10)}{self.transformers}"
        )


def check_target(path: str | None, *runs: Run, keep: str | None = None) -> None:
    """Raise an error where no file of this name can be written, or not beside `runs` to be, or `keep` leaves nothing to
    write; nothing is made."""
    from prunebench.errors import ConfigError
    from prunebench.runs.files import check_output

    if path is None:
        return
    if Path(path).suffix.removeprefix(".") not in BY_NAME:
        raise ConfigError(f"--export {path}: give a name that ends in .{', .'.join(BY_NAME)}.")
    if keep == "records":
        raise ConfigError("--export writes a checkpoint, and --keep records leaves none; give --keep last.")
    check_output(Path(path))
    for run in runs:
        if Path(path).resolve().is_relative_to(run.folder.resolve()):
            raise ConfigError(f"--export {path} is inside the run {run.key}; give another place.")


def check_ending(path: Path, to: str) -> None:
    """Raise ConfigError where a file's name ends as that of another format: readers go by it."""
    from prunebench.errors import ConfigError

    ending = ENDINGS.get(to, to).rpartition(".")[2]
    if to != FOLDER and path.suffix.lower() != f".{ending}":
        raise ConfigError(f"--output {path}: --to {to} writes a file whose name ends in .{ending}.")


def write_export(run: Run, step: int, entry: ModelEntry | None, path: Path, to: str | None = None) -> Exported:
    """Write a step of a run to a file, in the format that its name or `to` says."""
    from prunebench.models import checkpoint
    from prunebench.models.export import export, export_folder
    from prunebench.runs.files import size, writing

    state = checkpoint.load(run.checkpoint(step), entry)
    first = run.record(run.steps()[0])
    summary, several = first.summary, first.test_after.main.name == "exact"
    classes = summary.classes if summary else ()
    transformers = ""
    with writing(f"Step {step} of run {run.key}", path.parent):
        if to == FOLDER:
            difference, why = export_folder(state, path, classes, several=several)
            reading = f"transformers does not read it: {why}; prunebench.load does" if why else READS
            transformers = reading
        else:
            difference = export(state, to or path.suffix.removeprefix("."), path, classes, entry)
    inputs = state.architecture.inputs
    reads = f"{inputs.text()}, batch size free"
    if inputs.kind == "images":
        mean, std = (", ".join(f"{value:.4f}" for value in values) for values in (inputs.mean, inputs.std))
        reads += f"; pixels scaled to 0 to 1, then normalised with mean ({mean}) and standard deviation ({std})"
    amount = size(path) if to == FOLDER else path.stat().st_size
    return Exported(run.key, step, str(path), amount, difference, reads, classes, transformers)
