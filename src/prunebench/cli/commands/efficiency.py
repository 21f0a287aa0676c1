"""`prunebench efficiency`."""

from __future__ import annotations

import itertools
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from prunebench.cli.console import Console
from prunebench.cli.onnx_files import check_files, files_option, time_onnx
from prunebench.cli.options import (
    Command,
    common_options,
    config_options,
    fresh_option,
    gather,
    numbers,
    run_option,
    trust_option,
)
from prunebench.cli.stopping import Stopping

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prunebench.config import RunConfig
    from prunebench.experiment.experiment import Experiment
    from prunebench.latency.config import EfficiencyConfig
    from prunebench.records import TimingRecord
    from prunebench.runs.run import Run

SIZES = ("image_size", "sequence_length")


@click.command("efficiency", cls=Command)
@config_options("training", "pruning", "nothing", without=("dtype", "until", "devices", "track"))
@run_option
@files_option
@click.option("--architecture-only", is_flag=True, help="Time untrained weights, whatever runs there are.")
@click.option("--backend", "names", multiple=True, metavar="NAME", help="Backend; repeatable.  [default: eager]")
@click.option(
    *("--dtype", "dtypes"),
    multiple=True,
    metavar="NAME",
    help="fp32, tf32, bf16, fp16, int8; repeatable.  [default: fp32]",
)
@click.option("--int8-samples", type=int, metavar="N", help="Training samples to calibrate int8 on.  [default: 256]")
@click.option("--batch-sizes", callback=numbers, metavar="N,N", help="Batch sizes.  [default: 1,4,16,64,256]")
@click.option("--steps", callback=numbers, metavar="N,N", help="Steps to time.  [default: all pruned ones]")
@click.option("--ci-width", type=float, metavar="X", help="Time until intervals are ± this share.  [default: 0.03]")
@click.option("--time-budget", type=float, metavar="X", help="Seconds of timing on each backend.  [default: 60]")
@fresh_option
@trust_option
@common_options
def command(
    *,
    config_file: str | None,
    run_name: str | None,
    onnx: bool,
    files: tuple[str, ...],
    architecture_only: bool,
    names: tuple[str, ...],
    dtypes: tuple[str, ...],
    int8_samples: int | None,
    batch_sizes: tuple[int, ...] | None,
    steps: tuple[int, ...] | None,
    ci_width: float | None,
    time_budget: float | None,
    fresh: bool,
    trust: bool,
    as_json: bool,
    quiet: bool,
    debug: bool,
    **values: Any,
) -> None:
    """Time the original, the masked and the physically pruned model of every step, in alternation.

    Takes the newest pruned run that fits the options; where there is none, the untrained architecture, pruned by
    the same schedule, since latency does not depend on the values of weights. What is timed already on this machine
    is not timed again. With --dtype int8 the same models in fp32 are timed beside. --image-size and --sequence-length
    choose what is timed, whatever the run was trained on.
    """
    console = Console(as_json, quiet)
    from prunebench.errors import ConfigError, PrunebenchError, Stopped
    from prunebench.latency.backends import backends
    from prunebench.latency.config import EfficiencyConfig

    chosen = {"batch_sizes": batch_sizes, "steps": steps, "ci_width": ci_width, "time_budget": time_budget}
    if int8_samples is not None:
        if "int8" not in dtypes:
            raise ConfigError("--int8-samples belongs to --dtype int8.")
        chosen["int8_samples"] = int8_samples
    chosen = {name: value for name, value in chosen.items() if value is not None}
    for name in names:
        backends.get(name)
    chosen_backends = dict.fromkeys(names or ("onnxruntime" if onnx else "eager",))
    settings = [
        EfficiencyConfig(backend=name, dtype=dtype, **chosen)  # type: ignore[arg-type]
        for name, dtype in itertools.product(chosen_backends, dict.fromkeys(dtypes or ("fp32",)))
    ]
    given = gather(values, config_file)
    if onnx or files:
        named = [name for name in given.__struct_fields__ if getattr(given, name) is not None]
        others = {"run": run_name, "steps": steps, "fresh": fresh, "architecture_only": architecture_only}
        check_files(onnx, files, [*named, *(name for name, value in others.items() if value)])
        for efficiency in settings:
            length = msgspec.structs.replace(efficiency, sequence_length=given.sequence_length)
            results_dir = given.results_dir or "performance"
            time_onnx(console, files, length, threads=given.threads, results_dir=results_dir)
        return
    run, experiment, sizes = _what(console, given, run_name, architecture_only, trust)
    results: list[Path] = []
    failures = []
    with Stopping() as stopping:
        for efficiency in settings:
            try:
                results += _time(
                    console, msgspec.structs.replace(efficiency, **sizes), experiment, run, fresh, stopping
                )
            except Stopped:
                raise
            except PrunebenchError as error:
                failures.append(error)
                if len(settings) > 1:
                    console.note(f"Warning: {error}")
    if len(failures) == len(settings):
        raise failures[-1]
    if results:
        console.note("\n" + "\n".join(f"written {path}" for path in results))


def _what(
    console: Console, given: RunConfig, run_name: str | None, architecture_only: bool, trust: bool
) -> tuple[Run | None, Experiment, dict[str, int]]:
    """The run to time, if there is one; its experiment; and the size of inputs, where that is not the experiment's."""
    from prunebench.cli.finding import experiment_of, find_run
    from prunebench.experiment.plan import schedule
    from prunebench.experiment.resolve import resolve
    from prunebench.runs.apart import data_told

    asked = {name: getattr(given, name) for name in SIZES if getattr(given, name) is not None}
    anyhow = msgspec.structs.replace(given, **dict.fromkeys(SIZES))
    run = None
    if not architecture_only:
        exact = find_run(given, None, ("prune",)) if run_name is None else None
        run = exact or find_run(anyhow, run_name, ("prune",))
    experiment = experiment_of(run, anyhow, trusted=trust) if run is not None else resolve(given)
    settings = experiment.settings
    if run is not None:
        console.note(f"timing run {run.key} ({data_told(run)})")
        return run, experiment, {name: value for name, value in asked.items() if value != getattr(settings, name)}
    why = "as asked" if architecture_only else "no pruned run fits"
    console.note(f"{why}: timing the untrained {settings.model}, {settings.method}, {schedule(experiment)}")
    if experiment.method.widths_from_weights(settings.scope):
        console.note("what goes depends on the weights: a trained model may take another time")
    return None, experiment, {}


def _time(  # noqa: PLR0917
    console: Console,
    efficiency: EfficiencyConfig,
    experiment: Experiment,
    run: Run | None,
    fresh: bool,
    stopping: Stopping,
) -> list[Path]:
    """Time on one backend, or take what was timed; print tables and write files, whose paths are returned."""
    from prunebench.cli.planning import machine_line, start_over
    from prunebench.errors import DiskError
    from prunebench.experiment.existing import efficiency_run
    from prunebench.latency.steps import planned_steps, timed_steps
    from prunebench.results import latency_tables
    from prunebench.results.matrices import write_timings
    from prunebench.runs.files import check_output, check_writable

    into = efficiency_run(experiment, efficiency.settings(), run)
    if fresh:
        _ = experiment.model  # what may not be imported is told before anything is set aside
        start_over(console, into)
    steps = planned_steps(experiment.settings, efficiency) if run is None else timed_steps(run, efficiency)
    had = set(into.steps()) & set(steps)
    if had:
        console.note(f"{len(had)} step(s) were timed before on {efficiency.backend}; --fresh times them anew")
    timed: Iterable[TimingRecord]
    if had == set(steps):
        timed = (into.timing(step) for step in steps)
    else:
        from prunebench.latency.timing import time_run, time_untrained

        check_output(Path(experiment.settings.results_dir), folder=True)
        check_writable(experiment.settings.runs_dir)
        at_most = f"{efficiency.time_budget:g} s of timing at most, preparation not counted"
        console.note(f"on {machine_line(experiment.settings)}, {efficiency.backend}, {efficiency.dtype}, {at_most}")
        new = time_untrained if run is None else partial(time_run, run)
        timed = new(experiment, efficiency, into=into, stop=stopping.asked)
    timings = []
    for timing in timed:
        timings.append(timing)
        console.records([timing])
        if timing.step not in had:
            console.note(f"step {timing.step} timed")
    timings.sort(key=lambda timing: timing.step)
    tables = (latency_tables.times, latency_tables.int8, latency_tables.costs, latency_tables.breakdown)
    title = f"{efficiency.backend}, {efficiency.dtype}, {timings[0].latencies[0].inputs}"
    console.result("\n\n".join([f"\n{title}", *(text for table in tables if (text := table(timings)))]))
    console.note(f"run {into.key} in {into.folder}")
    about, folder = (experiment.run.manifest, None) if run is None else (run.manifest, run.folder)
    try:
        return write_timings(into, about, folder, timings, experiment.settings.results_dir)
    except DiskError as error:
        if had != set(steps):
            raise
        console.note(f"Warning: {error}")
        return []
