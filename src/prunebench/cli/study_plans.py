"""Say what a study will do before it does it: its runs, how long they take, and what is compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from prunebench.cli.console import Console

if TYPE_CHECKING:
    from prunebench.experiment.experiment import Experiment
    from prunebench.studies.record import StudyRecord
    from prunebench.studies.study import Study

MANY = 20
"""Runs to do from which on it is told how long they take without being asked: a trial takes a while itself."""


def announce_comparisons(console: Console, record: StudyRecord, dry_run: bool) -> None:
    """Print what the study will compare, and whether that was changed since runs were finished."""
    if record.family is None:
        return
    from prunebench.comparison.family import history
    from prunebench.runs.digests import counted

    say = console.result if dry_run else console.note
    size, tables = counted(record.family.size, "comparison"), counted(len(record.family.cells), "table")
    say(f"{size} in {tables}: {record.fixed[-1].text}")
    for line in history(record.fixed)[1:]:
        console.note(line)


def announce(console: Console, planned: Sequence[Experiment], name: str, dry_run: bool) -> None:
    """Print the runs of the study of this name, and their state."""
    from prunebench.errors import RunError
    from prunebench.results.curves import labels
    from prunebench.results.settings import settings_of
    from prunebench.results.tables import align
    from prunebench.runs.digests import counted
    from prunebench.studies.stopping import done
    from prunebench.studies.study import folder_of

    say = console.result if dry_run else console.note
    threads = planned[0].settings.threads
    each_has = f"{counted(len(planned), 'run')}, {counted(threads or 1, 'thread')} each"
    say(f"study {name}: {each_has}, in {folder_of(planned)}")
    called = labels(settings_of([each.run for each in planned]))
    rows = []
    for each, label in zip(planned, called, strict=True):
        settings, run = each.settings, each.run
        try:
            there = len([step for step in run.steps() if step <= settings.iterations])
            of = f" of {'at most ' * bool(each.goals)}{settings.iterations + 1} steps are there"
            state = "finished" if done(run, each) else f"{there}{of}" if there else "to do"
        except RunError as error:
            state = "damaged"
            console.note(f"Warning: {error}")
        rows.append([label, f"seed {settings.seed}", state, run.key])
    say(align(rows, left=4))


def foretell(console: Console, study: Study, planned: Sequence[Experiment], jobs: int, dry_run: bool) -> None:
    """Print what is left to do, and what that takes; where little is left, before a dry run alone."""
    from prunebench.results.tables import short
    from prunebench.runs.index import all_runs
    from prunebench.studies.estimates import estimate, untried
    from prunebench.studies.stopping import done
    from prunebench.studies.study import folder_of
    from prunebench.studies.timing import untimed
    from prunebench.studies.trial import try_out

    say, root = console.result if dry_run else console.note, folder_of(planned)
    if not dry_run and sum(not done(each.run, each) for each in planned) < MANY:
        return
    measured = [*all_runs(root), *all_runs(root.parent)]
    if unknown := untried(planned, measured):
        console.note("trying a few batches of every kind of run that was not measured yet …")
    left = estimate(planned, measured, try_out(unknown) if unknown else None)
    to_time = untimed(planned, study.timings)
    if left.steps == 0 and not to_time:
        say("nothing is left to do")
        return
    known = left.steps - left.unknown
    searches = any(each.goals and not done(each.run, each) for each in planned)
    lines = [f"{'at most ' * searches}{left.steps} step(s) are left to do"] * bool(left.steps)
    if known:
        took = f"about {duration(left.seconds / jobs)}" + (f" with --jobs {jobs}" if jobs > 1 else "")
        disk = f", {short(round(left.bytes))}B of disk" * (known > left.tried)
        how = "as a few batches took just now" if left.tried else "as such steps took before"
        both = f", and {left.tried} of them as a few batches took just now"
        how = f"as such steps took before{both}" if 0 < left.tried < known else how
        lines.append(f"{known} of them: {took}{disk}, {how}")
    if left.unknown:
        lines.append(f"{left.unknown} of them are of a kind that was not measured yet")
    if to_time:
        lines.append(
            f"{len(to_time)} timing(s) are left to do, of about {duration(sum(each.time_budget for each in to_time))} "
            "besides preparation"
        )
    say("\n".join(lines))


def duration(seconds: float) -> str:
    """`95 s`, `12 min`, `2.4 h`."""
    if seconds >= 5400:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.0f} min" if seconds >= 100 else f"{seconds:.0f} s"
