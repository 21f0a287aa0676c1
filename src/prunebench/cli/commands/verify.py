"""`prunebench verify`."""

from __future__ import annotations

from typing import Any

import click

from prunebench.cli.console import Console
from prunebench.cli.options import Command, common_options, field_options, gather, trust_option
from prunebench.cli.stopping import Stopping


@click.command("verify", cls=Command)
@click.argument("run_name", metavar="RUN")
@field_options("model", "dataset", "criterion", "data_dir", "workers", "device", "threads", "deterministic", "runs_dir")
@trust_option
@common_options
def command(*, run_name: str, trust: bool, as_json: bool, quiet: bool, debug: bool, **values: Any) -> None:
    """Compute every step of a run anew from its files, and compare with what was recorded.

    RUN is a key, the beginning of one, or a folder. Prints a line per step; exits with 1 if anything differs.
    """
    console = Console(as_json, quiet)
    from prunebench.cli.finding import as_computed, find_run
    from prunebench.cli.planning import machine_line
    from prunebench.experiment.existing import changed_contents
    from prunebench.experiment.verify import inexact, rounding, verify
    from prunebench.runs.apart import data_told

    given = gather(values, None)
    run = find_run(given, run_name, ("prune", "train", "efficiency"))
    assert run is not None
    experiment = as_computed(run, given, trusted=trust)
    console.note(f"run {run.key} ({data_told(run)}) on {machine_line(experiment.settings)}")
    differing = anew = 0
    if run.manifest.kind != "efficiency":
        why = inexact(run, experiment)
        if why:
            console.note(
                f"Computed elsewhere ({why}): checksums, parameters and MACs are compared exactly; answers may be "
                f"others where two logits are nearer to each other than {200 * rounding(run, experiment):.2g} % of the "
                f"sample's largest, between which rounding decides."
            )
        else:
            console.note("The same machine and versions: every comparison is exact.")
        if changed := changed_contents(run, experiment):
            differing += 1
            console.result(f"inputs   DIFFER: {', '.join(changed)} changed since the run")
    with Stopping() as stopping:
        for verdict in verify(run, experiment, console.tick, stopping.asked):
            console.records([verdict])
            found = "DIFFERS:" if verdict.differences else f"ok: {', '.join(verdict.compared)}"
            lines = [f"step {verdict.step:<3} {found}"]
            lines += [f"         {line}" for line in (*verdict.differences, *verdict.remarks)]
            console.result("\n".join(lines))
            differing += bool(verdict.differences)
            anew += verdict.compared != ("checksums",)
    steps = len(run.steps())
    if differing:
        console.result(f"{differing} difference(s)")
    elif anew == steps or run.manifest.kind == "efficiency":
        console.result(f"All {steps} steps are as they were recorded.")
    else:
        console.result(f"{anew or 'None'} of {steps} steps could be computed anew; of the others the files are intact.")
    if differing:
        raise click.exceptions.Exit(1)
