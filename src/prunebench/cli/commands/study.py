"""`prunebench study`."""

from __future__ import annotations

import time
from contextlib import nullcontext, suppress
from math import inf
from typing import TYPE_CHECKING

import click

from prunebench.cli.console import Console
from prunebench.cli.options import common_options, field_options
from prunebench.cli.stopping import Stopping, resuming
from prunebench.cli.study_plans import announce, announce_comparisons, duration, foretell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from prunebench.experiment.experiment import Experiment
    from prunebench.records import StepRecord
    from prunebench.studies.jobs import Job, Outcome
    from prunebench.studies.study import Study


@click.command("study")
@click.argument("file", metavar="FILE")
@click.option("--executor", default="local", show_default=True, metavar="NAME", help="Where runs are done: local, ray.")
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, metavar="N", help="Runs at once.")
@click.option("--address", metavar="ADDRESS", help="Ray: of a cluster that is there.  [default: one on this machine]")
@click.option("--runs-dir", metavar="DIR", help="Where the study's folder is.  [default: the file's, else runs]")
@click.option(
    "--set", "sets", multiple=True, metavar="NAME=VALUE", help="A setting of every run, whatever FILE says; repeatable."
)
@click.option("--only", multiple=True, metavar="NAME=VALUE", help="Do only runs with this setting; repeatable.")
@click.option(
    "--for",
    "hours",
    type=click.FloatRange(min=0, min_open=True),
    metavar="HOURS",
    help="Stop after so long, and keep what is computed.",
)
@field_options("track")
@click.option("--dry-run", is_flag=True, help="Print the runs, with an estimate of time and disk, and write nothing.")
@common_options
def command(
    *,
    file: str,
    executor: str,
    jobs: int,
    address: str | None,
    runs_dir: str | None,
    sets: tuple[str, ...],
    only: tuple[str, ...],
    hours: float | None,
    track: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    debug: bool,
) -> None:
    """Run a grid of pruning runs, told by a TOML FILE, each with the controls that the file asks for.

    Runs are ordinary runs in a folder named after the file. What is finished is not done again, so the same command
    goes on where it was stopped. A run that fails stops no other. Exits with 1 if any has failed.

    In parts: --for an hour or two at a time, or --only some runs; they come to the same. With --set dataset=mnist, say,
    the study is another, in a folder of its own; runs that this does not fit are left out with --only model=resnet18.
    """
    console = Console(as_json, quiet)
    from prunebench.cli.planning import writing_nothing
    from prunebench.errors import ConfigError, Stopped
    from prunebench.registry import check_installed
    from prunebench.runs.digests import counted
    from prunebench.runs.files import check_writable
    from prunebench.studies.executors import Options, executors
    from prunebench.studies.file import read_study
    from prunebench.studies.record import check_name, record_of, write_study
    from prunebench.studies.study import experiments_of, folder_of, part_of, tracked_by

    chosen = executors.get(executor)
    check_installed(chosen.needs, f"--executor {executor}", chosen.extra)
    if address is not None and executor != "ray":
        raise ConfigError("--address is of a Ray cluster; give --executor ray.")
    study = tracked_by(read_study(file, sets, only), track)
    with writing_nothing() if dry_run else nullcontext():
        planned = experiments_of(study, runs_dir, fetch=not dry_run)
        check_name(study, planned)
        record = record_of(study, planned)
        part = part_of(study, planned)
        announce(console, part, study.name, dry_run)
        if dry_run or executor == "local":  # what is tried on this machine tells nothing of others
            foretell(console, study, part, jobs, dry_run)
        announce_comparisons(console, record, dry_run)
    console.records([record])
    if dry_run:
        return
    from prunebench.studies.jobs import jobs_of

    todo = jobs_of(part)
    if todo:
        check_writable(folder_of(planned))
    write_study(study, planned)
    _tell_again(planned, todo)
    if trainings := sum(job.kind == "train" for job in todo):
        starts = f"{counted(trainings, 'dense run')} that they start from"
        console.note(f"to do: {counted(len(todo) - trainings, 'pruning run')}, and {starts}")
    with Stopping() as stopping:
        ends = Until(hours, stopping.asked)
        options = Options(jobs=jobs, address=address, told=_teller(console), stop=ends.over)
        failed = _do(console, chosen.run(todo, options) if todo else iter(()), len(todo))
        if stopping.asked():
            raise Stopped(f"The study {study.name} was stopped.")
        untimed = [] if ends.over() else _time(console, study, part, ends)
        if stopping.asked():
            raise Stopped(f"The study {study.name} was stopped.")
    _end(console, study, planned, ends)
    _tell_failed(failed, untimed, debug)


class Until:
    """Whether to stop: when `asked` says so, or when as many hours have gone by; None: only then.

    It stays with what it has said.
    """

    def __init__(self, hours: float | None, asked: Callable[[], bool]) -> None:
        self._end = inf if hours is None else time.monotonic() + 3600 * hours
        self._asked = asked
        self.late = False

    def over(self) -> bool:
        """Whether to stop now."""
        self.late = self.late or time.monotonic() >= self._end
        return self.late or self._asked()


def _end(console: Console, study: Study, planned: Sequence[Experiment], ends: Until) -> None:
    """Say how far the study is, and what is next."""
    from prunebench.studies.stopping import done
    from prunebench.studies.study import folder_of

    finished = sum(done(each.run, each) for each in planned)
    console.result(
        f"\n{finished} of {len(planned)} runs of the study {study.name} are finished, in {folder_of(planned)}"
    )
    if ends.late:
        console.result(f"The time is up, and what was computed is kept. Go on with:\n    {resuming()}")
    if finished:
        console.note(f"what they show:  prunebench report {folder_of(planned)}")


def _tell_failed(failed: Mapping[str, Outcome], untimed: Sequence[str], debug: bool) -> None:
    """Say what has failed, and why, and exit with 1 where anything has."""
    from prunebench.errors import legible

    for key, outcome in failed.items():
        click.echo(f"failed: {key}: {legible(outcome.error)}", err=True)
        if debug and outcome.trace:
            click.echo(outcome.trace, err=True)
    for line in untimed:
        click.echo(line, err=True)
    if failed or untimed:
        raise click.exceptions.Exit(1)


def _tell_again(planned: Sequence[Experiment], todo: Sequence[Job]) -> None:
    """Tell trackers of runs that are finished, where they were not told."""
    from prunebench.experiment.tracked import tell_again

    keys = {job.key for job in todo}
    for each in planned:
        tell_again(each, *(run for run in (each.dense, each.run) if run.key not in keys))


def _do(console: Console, outcomes: Iterator[Outcome], count: int) -> dict[str, Outcome]:
    """Say what became of each job as it comes; returns those that failed."""
    failed = {}
    for number, outcome in enumerate(outcomes, 1):
        if outcome.error:
            failed[outcome.key] = outcome
        state = "stopped" if outcome.stopped else "failed" if outcome.error else "done"
        console.note(f"[{number}/{count}] {outcome.key} {state}, {duration(outcome.seconds)}")
    return failed


def _time(console: Console, study: Study, planned: Sequence[Experiment], ends: Until) -> list[str]:
    """Time the runs as the study asks; returns a line for each that could not be."""
    if not study.timings:
        return []
    from prunebench.errors import Stopped
    from prunebench.studies.timing import time_study

    problems = []
    with suppress(Stopped):
        for timed in time_study(planned, study.timings, ends.over):
            if timed.error:
                problems.append(f"not timed: {timed.key} on {timed.backend}: {timed.error}")
            elif timed.new:
                others = f", for {timed.others} more that take as long" if timed.others else ""
                console.note(f"{timed.key} timed on {timed.backend}{others}")
    return problems


def _teller(console: Console) -> Callable[[Job, StepRecord], None]:
    def told(job: Job, record: StepRecord) -> None:
        main = record.test_after.main
        console.note(f"  {job.key}  step {record.step}  test {main.title} {record.test_after[main.name]:.3f}")

    return told
