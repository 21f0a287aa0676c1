"""`prunebench train`."""

from __future__ import annotations

from typing import Any

import click

from prunebench.cli.console import Console
from prunebench.cli.launched import with_devices
from prunebench.cli.options import Command, common_options, config_options, fresh_option, gather
from prunebench.cli.stopping import Stopping


@click.command("train", cls=Command)
@config_options("training", "nothing", without=("until",))
@click.option("--dry-run", is_flag=True, help="Print the plan and write nothing.")
@fresh_option
@common_options
def command(
    *, config_file: str | None, dry_run: bool, fresh: bool, as_json: bool, quiet: bool, debug: bool, **values: Any
) -> None:
    """Train a model that pruning starts from. Defaults are those of the model and the dataset, where they have one.

    A model that is trained already is not trained again; the same command goes on where it was stopped.
    """
    console = Console(as_json, quiet)
    from prunebench.cli.planning import announce_training

    experiment = announce_training(console, with_devices(gather(values, config_file)), dry_run=dry_run, fresh=fresh)
    if dry_run:
        return
    run = experiment.dense
    if run.steps():
        from prunebench.experiment.plan import summary_lines
        from prunebench.experiment.tracked import tell_again

        record = run.record(0)
        if record.summary:
            console.note("\n".join(summary_lines(record.summary)))
        for note in record.notes:
            console.note(f"Warning: {note}.")
        tell_again(experiment, run)
    else:
        from prunebench.experiment.loop import train

        with Stopping() as stopping:
            record = train(experiment, run, console.tick, stopping.asked)
    console.records([record])
    from prunebench.results.tables import interval, short

    after, main = record.test_after, record.test_after.main
    known = f" (95 % interval {ends})" if (ends := interval(after)) else ""
    console.result(
        f"{run.key}: test {main.title} {after[main.name]:.3f}{known}, "
        f"train {main.title} {record.train_after[main.name]:.3f}, {short(record.params)} parameters, "
        f"{record.seconds.finetune:.0f} s of training\nin {run.folder}"
    )
