"""`prunebench efficiency`."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

import click
import msgspec

from prunebench.cli.console import Console
from prunebench.cli.options import Command, common_options, config_options, fresh_option, gather, numbers, run_option
from prunebench.cli.stopping import Stopping

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prunebench.records import LatencyRecord


@click.command("efficiency", cls=Command)
@config_options("training", "pruning", "nothing")
@run_option
@click.option("--batch-sizes", callback=numbers, metavar="N,N", help="Batch sizes.  [default: 1,4,16,64,256]")
@click.option("--time-budget", type=float, metavar="X", help="Seconds for the whole command.  [default: 60]")
@fresh_option
@common_options
def command(
    *,
    config_file: str | None,
    run_name: str | None,
    batch_sizes: tuple[int, ...] | None,
    time_budget: float | None,
    fresh: bool,
    as_json: bool,
    quiet: bool,
    debug: bool,
    **values: Any,
) -> None:
    """Time the original, the masked and the physically pruned model of every step, in alternation.

    Takes the newest pruned run that fits the options; where there is none, the untrained architecture, pruned by
    the same schedule, since latency does not depend on the values of weights. What is timed already on this machine
    is not timed again.
    """
    started, console = time.perf_counter(), Console(as_json, quiet)
    from prunebench.efficiency.config import EfficiencyConfig

    chosen: dict[str, Any] = {"batch_sizes": batch_sizes, "time_budget": time_budget}
    efficiency = EfficiencyConfig(**{name: value for name, value in chosen.items() if value is not None})
    from prunebench.cli.finding import config_of, find_run
    from prunebench.cli.planning import machine_line, start_over
    from prunebench.config import default
    from prunebench.files import check_writable
    from prunebench.matrices import write_latencies
    from prunebench.plan import schedule
    from prunebench.resolve import resolve
    from prunebench.runs import efficiency_run, pruning_run
    from prunebench.tables import latencies

    given = gather(values, config_file)
    run = find_run(given, run_name, ("prune",))
    deadline = started + efficiency.time_budget
    config = config_of(run, given) if run is not None else resolve(given)
    into = efficiency_run(config, msgspec.structs.asdict(efficiency), run)
    if fresh:
        start_over(console, into)
    results_dir = given.results_dir or default("results_dir")
    check_writable(results_dir)
    check_writable(into.root)
    steps = range(1, (config.iterations or 0) + 1) if run is None else [step for step in run.checkpoints() if step > 0]
    info, folder = (pruning_run(config).info, None) if run is None else (run.info, run.folder)
    untrained = f"no pruned run fits: timing the untrained {config.model}, {config.method}, {schedule(config)}"
    console.note(untrained if run is None else f"timing run {info.key}")
    had = into.steps()
    if had:
        console.note(f"{len(had)} step(s) were timed before; --fresh times them anew")
    records, paths = [], []
    with Stopping() as stopping:
        if steps and set(steps) <= set(had):
            timed: Iterable[list[LatencyRecord]] = (list(into.timing(step).latencies) for step in steps)
        else:
            from prunebench.efficiency.timing import time_run, time_untrained

            console.note(f"on {machine_line(config)}, {efficiency.time_budget:g} s")
            new = time_untrained if run is None else partial(time_run, run)
            timed = new(config, efficiency, into=into, deadline=deadline, stop=stopping.asked)
        for of_step in timed:
            records += of_step
            console.records(of_step)
            paths += write_latencies(info, folder, of_step, results_dir)
            if of_step[0].step not in had:
                console.note(f"step {of_step[0].step} timed, {time.perf_counter() - started:.0f} s")
    console.result("\n" + latencies(records))
    over = time.perf_counter() - deadline
    if over > 0:
        console.note(f"Took {over:.0f} s more than the budget, so that every figure has one round at least.")
    console.note("\n" + "\n".join(f"written {path}" for path in paths) + f"\nrun {into.info.key} in {into.folder}")
