"""`prunebench export`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from prunebench.cli.console import Console
from prunebench.cli.options import Command, common_options, field_options, gather


class Exported(msgspec.Struct, frozen=True):
    """A file that was written, its bytes, and the largest absolute difference of its outputs to the model's."""

    run: str
    step: int
    path: str
    bytes: int
    difference: float


@click.command("export", cls=Command)
@click.argument("run_name", metavar="RUN")
@click.option("--step", type=int, metavar="N", help="Step to write.  [default: the last]")
@click.option(
    "--to", type=click.Choice(["safetensors", "pt2", "onnx"]), default="safetensors", show_default=True, help="Format."
)
@click.option("--output", type=click.Path(dir_okay=False), metavar="FILE", help="File.  [default: RUN-stepN.FORMAT]")
@field_options("model", "runs_dir")
@common_options
def command(
    *,
    run_name: str,
    step: int | None,
    to: str,
    output: str | None,
    as_json: bool,
    quiet: bool,
    debug: bool,
    **values: Any,
) -> None:
    """Write a step of a run as one file for use elsewhere, and compare its outputs with the model's.

    RUN is a key, the beginning of one, or a folder. safetensors is read by prunebench.load, pt2 by torch.export.load,
    onnx by ONNX runtimes; the batch size of the latter two is free.
    """
    console = Console(as_json, quiet)
    from prunebench import checkpoint
    from prunebench.cli.finding import config_of, find_run
    from prunebench.errors import RunError
    from prunebench.exporting import export
    from prunebench.files import writing

    given = gather(values, None)
    run = find_run(given, run_name, ("prune", "train"))
    assert run is not None
    steps = run.checkpoints()
    if not steps:
        raise RunError(f"Run {run.info.key} has kept no checkpoint (--keep).")
    number = steps[-1] if step is None else step
    state = checkpoint.load(run.checkpoint(number), config_of(run, given).model)
    path = Path(output or f"{run.info.key}-step{number}.{to}")
    with writing(f"Step {number} of run {run.info.key}", path.parent):
        difference = export(state, to, path)
    inputs = state.architecture.inputs
    reads = f"{inputs.text()}, batch size free"
    if inputs.kind == "images":
        mean, std = (", ".join(f"{value:.4f}" for value in values) for values in (inputs.mean, inputs.std))
        reads += f"; pixels scaled to 0 to 1, then normalised with mean ({mean}) and standard deviation ({std})"
    console.records([Exported(run.info.key, number, str(path), path.stat().st_size, difference)])
    console.result(
        f"written {path} ({path.stat().st_size / 1e6:.1f} MB): step {number} of run {run.info.key}\n"
        f"reads {reads}\n"
        f"largest difference to the model's outputs, over batches of 1, 2 and 5: {difference:.2g}"
    )
