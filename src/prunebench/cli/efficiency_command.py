"""`prunebench efficiency`."""

from __future__ import annotations

import time
from typing import Any

import click

from prunebench.cli.console import Console
from prunebench.cli.options import Command, common_options, config_options, gather, numbers, run_option


@click.command("efficiency", cls=Command)
@config_options("training", "pruning", "nothing")
@run_option
@click.option("--batch-sizes", callback=numbers, metavar="N,N", help="Batch sizes.  [default: 1,4,16,64,256]")
@click.option("--time-budget", type=float, metavar="X", help="Seconds for the whole command.  [default: 60]")
@common_options
def command(
    *,
    config_file: str | None,
    run_name: str | None,
    batch_sizes: tuple[int, ...] | None,
    time_budget: float | None,
    as_json: bool,
    quiet: bool,
    debug: bool,
    **values: Any,
) -> None:
    """Time the original, the masked and the physically pruned model of every step, in alternation.

    Takes the newest pruned run that fits the options; where there is none, the untrained architecture, pruned by
    the same schedule, since latency does not depend on the values of weights.
    """
    started = time.perf_counter()
    console = Console(as_json, quiet)
    from prunebench.efficiency.config import EfficiencyConfig

    chosen: dict[str, Any] = {"batch_sizes": batch_sizes, "time_budget": time_budget}
    efficiency = EfficiencyConfig(**{name: value for name, value in chosen.items() if value is not None})
    from prunebench.cli.finding import config_of, find_run
    from prunebench.cli.planning import machine_line
    from prunebench.config import default
    from prunebench.efficiency.timing import time_run, time_untrained
    from prunebench.files import check_writable
    from prunebench.matrices import write_latencies
    from prunebench.plan import schedule
    from prunebench.resolve import resolve
    from prunebench.runs import pruning_run
    from prunebench.tables import latencies

    given = gather(values, config_file)
    run = find_run(given, run_name, ("prune",))
    deadline = started + efficiency.time_budget
    if run is not None:
        config = config_of(run, given)
        console.note(f"timing run {run.info.key}, {len(run.steps()) - 1} pruned steps")
        info, folder = run.info, run.folder
        timed = time_run(run, config, efficiency, deadline=deadline)
    else:
        config = resolve(given)
        console.note(f"no pruned run fits: timing the untrained {config.model}, {config.method}, {schedule(config)}")
        info, folder = pruning_run(config).info, None
        timed = time_untrained(config, efficiency, deadline=deadline)
    console.note(f"on {machine_line(config)}, {efficiency.time_budget:g} s")
    results_dir = given.results_dir or default("results_dir")
    check_writable(results_dir)
    records, paths = [], []
    for of_step in timed:
        records += of_step
        console.records(of_step)
        paths += write_latencies(info, folder, of_step, results_dir)
        console.note(f"step {of_step[0].step} timed, {time.perf_counter() - started:.0f} s")
    console.result("\n" + latencies(records))
    over = time.perf_counter() - deadline
    if over > 0:
        console.note(f"Took {over:.0f} s more than the budget, so that every figure has one round at least.")
    console.note("\n" + "\n".join(f"written {path}" for path in paths))
