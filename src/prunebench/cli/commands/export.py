"""`prunebench export`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from prunebench.cli.console import Console
from prunebench.cli.exported import ENDINGS, FOLDER, FORMATS
from prunebench.cli.options import Command, common_options, field_options, gather, trust_option


@click.command("export", cls=Command)
@click.argument("run_name", metavar="RUN")
@click.option("--step", type=int, metavar="N", help="Step to write.  [default: the last]")
@click.option("--to", type=click.Choice([*FORMATS, FOLDER]), default="safetensors", show_default=True, help="Format.")
@click.option("-o", "--output", metavar="FILE", help="File, or of hf a new folder.  [default: RUN-stepN.FORMAT]")
@field_options("model", "runs_dir")
@trust_option
@common_options
def command(
    *,
    run_name: str,
    step: int | None,
    to: str,
    output: str | None,
    trust: bool,
    as_json: bool,
    quiet: bool,
    debug: bool,
    **values: Any,
) -> None:
    """Write a step of a run for use elsewhere, and compare its outputs with the model's.

    RUN is a key, the beginning of one, or a folder. safetensors is read by prunebench.load, pt2 by torch.export.load,
    onnx by ONNX runtimes; the batch size of the latter two is free. masks is the state of a model with masks of
    torch.nn.utils.prune, which prunebench.load and --weights read too. hf, of models of transformers, is a folder as
    transformers keeps them: prunebench.load reads it, and so does transformers where its config can say the shapes.
    """
    console = Console(as_json, quiet)
    from prunebench.cli.exported import check_ending, write_export
    from prunebench.cli.finding import experiment_of, find_run
    from prunebench.errors import RunError
    from prunebench.runs.files import check_output

    given = gather(values, None)
    run = find_run(given, run_name, ("prune", "train"))
    assert run is not None
    steps = run.checkpoints()
    if not steps:
        raise RunError(f"Run {run.key} has kept no checkpoint (--keep).")
    number = steps[-1] if step is None else step
    path = Path(output or f"{run.key}-step{number}.{ENDINGS.get(to, to)}")
    check_output(path, folder=to == FOLDER)
    check_ending(path, to)
    written = write_export(run, number, experiment_of(run, given, trusted=trust).model, path, to)
    console.records([written])
    console.result(written.text())
