"""`prunebench efficiency --onnx`: exported files, timed in a process that imports no torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from prunebench.cli.console import Console
from prunebench.cli.stopping import Stopping
from prunebench.config import option_name
from prunebench.errors import ConfigError
from prunebench.latency.config import EfficiencyConfig
from prunebench.runs.digests import counted

MEANT = ("threads", "results_dir", "sequence_length")
"""Fields of a RunConfig that say something about files."""


def time_onnx(
    console: Console,
    files: Sequence[str],
    config: EfficiencyConfig,
    *,
    threads: int | None,
    results_dir: str,
) -> None:
    """Time the files, print a table, and write all samples and the environment as JSON."""
    from prunebench.latency.onnx_files import time_files
    from prunebench.records import FORMAT
    from prunebench.results.latency_tables import of_files
    from prunebench.runs import environment as hardware
    from prunebench.runs.files import check_output, write_atomically, writing

    check_output(Path(results_dir), folder=True)
    hardware.check_processes("--threads", threads)
    threads = threads or os.cpu_count() or 1
    paths = [Path(name) for name in files]
    here = hardware.environment(threads=threads, packages=("prunebench", "numpy", config.backend))
    with Stopping() as stopping:
        records = time_files(paths, config, threads=threads, stop=stopping.asked)
    console.note(f"on cpu ({here.hardware}), {counted(threads, 'thread')}, {config.backend}")
    console.records(records)
    console.result("\n" + of_files(records))
    document = {"format": FORMAT, "settings": config, "environment": here, "latencies": records}
    path = Path(results_dir) / f"{paths[0].stem}_onnx_efficiency.json"
    with writing(path.name, path.parent):
        write_atomically(path, msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n")
    console.note(f"\nwritten {path}")


def check_files(onnx: bool, files: Sequence[str], given: Sequence[str]) -> None:
    """Raise ConfigError where files were given without --onnx, or with options that say nothing about them.

    `given` are names of options.
    """
    if not onnx:
        raise ConfigError(f"{files[0]}: files are timed with --onnx.")
    if not files:
        raise ConfigError("--onnx: name the files to time, such as --onnx dense.onnx pruned.onnx.")
    if wrong := [name for name in given if name not in MEANT]:
        raise ConfigError(f"{option_name(wrong[0])} says nothing about ONNX files; leave it out, or leave out --onnx.")


def files_option(function: click.decorators.FC) -> click.decorators.FC:
    """Decorator: --onnx FILES."""
    function = click.argument("files", nargs=-1, metavar="[FILES]...")(function)
    help = "Time ONNX files, the first being the baseline, without torch: --onnx A.onnx B.onnx."
    return click.option("--onnx", is_flag=True, help=help)(function)
