"""`prunebench study`."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import click

from prunebench.cli.console import Console
from prunebench.cli.options import common_options
from prunebench.cli.stopping import Stopping

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

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
@click.option("--dry-run", is_flag=True, help="Print the runs, with an estimate of time and disk, and write nothing.")
@common_options
def command(
    *,
    file: str,
    executor: str,
    jobs: int,
    address: str | None,
    runs_dir: str | None,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    debug: bool,
) -> None:
    """Run a grid of pruning runs, told by a TOML FILE, each with the controls that the file asks for.

    Runs are ordinary runs in a folder named after the file. What is finished is not done again, so the same command
    goes on where it was stopped. A run that fails stops no other. Exits with 1 if any has failed.
    """
    console = Console(as_json, quiet)
    from prunebench.cli.planning import writing_nothing
    from prunebench.errors import ConfigError, Stopped, legible
    from prunebench.registry import check_installed
    from prunebench.runs.digests import counted
    from prunebench.runs.files import check_writable
    from prunebench.studies.executors import Options, executors
    from prunebench.studies.study import check_name, experiments_of, folder_of, read_study, record_of, write_study

    chosen = executors.get(executor)
    check_installed(chosen.needs, f"--executor {executor}", chosen.extra)
    if address is not None and executor != "ray":
        raise ConfigError("--address is of a Ray cluster; give --executor ray.")
    study = read_study(file)
    with writing_nothing() if dry_run else nullcontext():
        planned = experiments_of(study, runs_dir, fetch=not dry_run)
        check_name(study, planned)
        _announce(console, study, planned, jobs, dry_run)
    console.records([record_of(study, planned)])
    if dry_run:
        return
    from prunebench.studies.jobs import jobs_of

    todo = jobs_of(planned)
    if todo:
        check_writable(folder_of(planned))
    write_study(study, planned)
    if trainings := sum(job.kind == "train" for job in todo):
        starts = f"{counted(trainings, 'dense run')} that they start from"
        console.note(f"to do: {counted(len(todo) - trainings, 'pruning run')}, and {starts}")
    with Stopping() as stopping:
        options = Options(jobs=jobs, address=address, told=_teller(console), stop=stopping.asked)
        failed = _do(console, chosen.run(todo, options) if todo else iter(()), len(todo))
        if stopping.asked():
            raise Stopped(f"The study {study.name} was stopped.")
        untimed = _time(console, study, planned, stopping.asked)
    done = len(planned) - len([each for each in planned if each.run.key in failed])
    console.result(f"\n{done} of {len(planned)} runs of the study {study.name} are finished, in {folder_of(planned)}")
    for key, outcome in failed.items():
        click.echo(f"failed: {key}: {legible(outcome.error)}", err=True)
        if debug and outcome.trace:
            click.echo(outcome.trace, err=True)
    for line in untimed:
        click.echo(line, err=True)
    if done:
        console.note(f"what they show:  prunebench report {folder_of(planned)}")
    if failed or untimed:
        raise click.exceptions.Exit(1)


def _do(console: Console, outcomes: Iterator[Outcome], count: int) -> dict[str, Outcome]:
    """Say what became of each job as it comes; returns those that failed."""
    failed = {}
    for number, outcome in enumerate(outcomes, 1):
        if outcome.error:
            failed[outcome.key] = outcome
        state = "stopped" if outcome.stopped else "failed" if outcome.error else "done"
        console.note(f"[{number}/{count}] {outcome.key} {state}, {_duration(outcome.seconds)}")
    return failed


def _time(console: Console, study: Study, planned: Sequence[Experiment], stop: Callable[[], bool]) -> list[str]:
    """Time the runs as the study asks; returns a line for each that could not be."""
    if not study.timings:
        return []
    from prunebench.studies.timing import time_study

    problems = []
    for timed in time_study(planned, study.timings, stop):
        if timed.error:
            problems.append(f"not timed: {timed.key} on {timed.backend}: {timed.error}")
        elif timed.new:
            others = f", for {timed.others} more that take as long" if timed.others else ""
            console.note(f"{timed.key} timed on {timed.backend}{others}")
    return problems


def _announce(console: Console, study: Study, planned: Sequence[Experiment], jobs: int, dry_run: bool) -> None:
    """Print the runs and their state; before a dry run also what is to come."""
    from prunebench.errors import RunError
    from prunebench.results.curves import labels
    from prunebench.results.settings import settings_of
    from prunebench.results.tables import align, short
    from prunebench.runs.digests import counted
    from prunebench.runs.index import all_runs
    from prunebench.studies.estimates import estimate
    from prunebench.studies.stopping import done
    from prunebench.studies.study import folder_of
    from prunebench.studies.timing import untimed

    say = console.result if dry_run else console.note
    threads = planned[0].settings.threads
    each_has = f"{counted(len(planned), 'run')}, {counted(threads or 1, 'thread')} each"
    say(f"study {study.name}: {each_has}, in {folder_of(planned)}")
    names = labels(settings_of([each.run for each in planned]))
    rows = []
    for each, name in zip(planned, names, strict=True):
        settings, run = each.settings, each.run
        try:
            there = len([step for step in run.steps() if step <= settings.iterations])
            of = f" of {'at most ' * bool(each.goals)}{settings.iterations + 1} steps are there"
            state = "finished" if done(run, each) else f"{there}{of}" if there else "to do"
        except RunError as error:
            state = "damaged"
            console.note(f"Warning: {error}")
        rows.append([name, f"seed {settings.seed}", state, run.key])
    say(align(rows, left=4))
    if not dry_run:
        return
    root = folder_of(planned)
    left = estimate(planned, [*all_runs(root), *all_runs(root.parent)])
    to_time = untimed(planned, study.timings)
    if left.steps == 0 and not to_time:
        say("nothing is left to do")
        return
    known = left.steps - left.unknown
    searches = any(each.goals and not done(each.run, each) for each in planned)
    lines = [f"{'at most ' * searches}{left.steps} step(s) are left to do"] * bool(left.steps)
    if known:
        took = f"about {_duration(left.seconds / jobs)}" + (f" with --jobs {jobs}" if jobs > 1 else "")
        lines.append(f"{known} of them: {took}, {short(round(left.bytes))}B of disk, as such steps took before")
    if left.unknown:
        lines.append(f"{left.unknown} of them are of a kind that was not measured yet")
    if to_time:
        lines.append(
            f"{len(to_time)} timing(s) are left to do, of about {_duration(sum(each.time_budget for each in to_time))} "
            "besides preparation"
        )
    say("\n".join(lines))


def _teller(console: Console) -> Callable[[Job, StepRecord], None]:
    def told(job: Job, record: StepRecord) -> None:
        main = record.test_after.main
        console.note(f"  {job.key}  step {record.step}  test {main.title} {record.test_after[main.name]:.3f}")

    return told


def _duration(seconds: float) -> str:
    if seconds >= 5400:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.0f} min" if seconds >= 100 else f"{seconds:.0f} s"
