"""Views: what a notebook shows of a record, of a run, and of runs."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import isnan
from pathlib import Path
from statistics import median
from typing import Any

from prunebench.comparison.matching import of_study, subject
from prunebench.comparison.tables import explained
from prunebench.comparison.tables import verdicts as as_text
from prunebench.comparison.verdicts import common_seeds, compare, corrected, telling
from prunebench.errors import PrunebenchError
from prunebench.notebooks.markup import folded, heading, note, picture, table, whole
from prunebench.notebooks.rows import latencies_of
from prunebench.notebooks.runs import Runs
from prunebench.plots.registry import plots
from prunebench.plots.sources import gather
from prunebench.plots.style import render, styled
from prunebench.records import StepRecord, TimingRecord
from prunebench.results.curves import Curve, by_settings, curves_of, labels, readable, sparing
from prunebench.results.settings import on_data, settings_of
from prunebench.results.tables import step_notes, step_rows
from prunebench.runs.apart import differences
from prunebench.runs.run import Run
from prunebench.statistics import interval_of, mean_interval

MOST = 3
"""Pictures that runs show; the others are counted."""


def html(thing: Any) -> str:
    """A record, a run or runs as HTML. What cannot be read is said in its place, since looking raises nothing."""
    try:
        if isinstance(thing, StepRecord):
            return whole(_steps([thing]))
        if isinstance(thing, TimingRecord):
            return whole([heading(f"Step {thing.step}, timed"), table(_timings(thing), left=2)])
        return whole(_run(thing) if isinstance(thing, Run) else _runs(thing))
    except PrunebenchError as error:
        return whole([heading("This cannot be shown."), note(str(error))])


def _steps(records: Sequence[StepRecord]) -> list[str]:
    """A table of steps, and what it says below."""
    return [table(step_rows(records)), *map(note, step_notes(records))]


def _timings(record: TimingRecord) -> list[list[str]]:
    rows = [["variant", "backend", "batch size", "median ms", "rounds"]]
    for each in record.latencies:
        ms = f"{median(each.samples_ms):.3g}"
        rows.append([each.variant, each.backend, str(each.batch_size), ms, str(len(each.samples_ms))])
    return rows


def _run(run: Run) -> list[str]:
    """A run: what it is, its steps as a table, and its picture."""
    settings = settings_of([run])[0]
    words = [f"{settings.get('model')} on {on_data(settings)}"]
    if run.manifest.kind != "train":
        words += [str(settings[name]) for name in ("method", "criterion") if settings.get(name)]
    words.append(f"seed {run.manifest.config.get('seed')}")
    parts = [heading(f"{run.key}: {', '.join(words)}")]
    if run.manifest.kind == "efficiency":
        rows = [
            [str(row[name]) for name in ("step", "backend", "variant")]
            + [str(row["batch_size"]), f"{row['median_ms']:.3g}", f"{row['speedup']:.2f}"]
            for row in latencies_of(run)
        ]
        return [*parts, table([["step", "backend", "variant", "batch size", "median ms", "speed-up"], *rows], left=3)]
    steps = run.steps()
    if not steps:
        return [*parts, note(f"No step is finished yet. {run.folder}")]
    parts += _steps(run.records())
    if run.manifest.kind == "prune" and steps[-1] > 0:
        parts += _pictures([run.folder])
    return [*parts, note(str(run.folder))]


def _pictures(places: Sequence[Path]) -> list[str]:
    """Accuracy by what is left, of one or several runs; at most so many pictures."""
    with _told_before(), styled():
        found = plots.get("accuracy").draw(gather(places), "left")
        shown = [picture(render(each.figure, "svg"), each.name) for each in found[:MOST]]
    more = [f"{len(found) - MOST} more:  prunebench plot FOLDER -o plots"] * (len(found) > MOST)
    return [*shown, *map(note, more)]


@contextmanager
def _told_before() -> Iterator[None]:
    """Within it, warnings of plots are not told: the runs were read, and warned of, before."""
    quiet = logging.getLogger("prunebench.plots.sources")
    before = quiet.level
    quiet.setLevel(logging.ERROR)
    try:
        yield
    finally:
        quiet.setLevel(before)


def _runs(runs: Runs) -> list[str]:
    """Runs: what their last steps come to, groups of seeds together; pictures; and which is better."""
    parts = [heading(f"{runs.folder}{f', {runs.named}' if runs.named else ''}: {runs.counted()}")]
    pruned = [run for run in runs if run.manifest.kind == "prune" and run.steps()[-1] > 0]
    if not pruned:
        return [*parts, *_listed(runs)]
    curves = sparing(curves_of(readable(pruned), ()))
    groups = by_settings(curves)
    parts += [table(_groups(groups), left=1), note(_explained(groups))]
    parts += _pictures([runs.folder] if runs.named is None else [run.folder for run in pruned])
    if text := _verdicts(curves):
        parts.append(folded("Which is better", text))
    return parts


def _listed(runs: Runs) -> list[str]:
    """Runs of which none has pruned anything, a line each."""
    if not len(runs):
        return [note("There are no runs in it with a finished step.")]
    rows = [["run", "kind", "steps", "differs"]]
    for run, differs in zip(runs, differences(list(runs)), strict=True):
        rows.append([run.key, run.manifest.kind, str(len(run.steps())), differs])
    return [table(rows, left=2)]


def _groups(groups: Sequence[list[Curve]]) -> list[list[str]]:
    """The last step of each group of seeds: what is left, and its mean score with an interval."""
    rows = [["runs", "seeds", "step", "params", "MACs", "dense", "pruned", "95 % interval"]]
    for group, name in zip(groups, labels([group[0].settings for group in groups]), strict=True):
        step = min(curve.steps[-1] for curve in group)
        places = [(curve, curve.steps.index(step)) for curve in group if step in curve.steps]
        after = mean_interval([curve.after[at] for curve, at in places])
        low, high = after.low, after.high
        if len(places) == 1:
            (curve, at) = places[0]
            low, high = interval_of(curve.metric.name, after.mean, curve.tested[at]) or (low, high)
        dense = mean_interval([curve.after[0] for curve in group]).mean
        left = [sum(curve.axes[axis][at] for curve, at in places) / len(places) for axis in ("params", "macs")]
        ends = "" if isnan(low) else f"{low:.3f}–{high:.3f}"
        shares = [f"{100 * share:.3g} %" for share in left]
        rows.append([name, str(len(places)), str(step), *shares, f"{dense:.3f}", f"{after.mean:.3f}", ends])
    return rows


def _explained(groups: Sequence[list[Curve]]) -> str:
    metric = groups[0][0].metric
    return (
        f"Test {metric.title} at the last step that all seeds have, mean over seeds; the interval is that of the mean, "
        f"and of one seed that of its {groups[0][0].tested[-1]:,} test samples."
    )


def _verdicts(curves: Sequence[Curve]) -> str:
    """Every two groups of a model compared, as `prunebench compare --study` has it; empty where there are none."""
    tables: dict[str, list[Any]] = {}
    for match in of_study(curves):
        if common_seeds(match.a, match.b):
            made = compare(match.a, match.b, match.names)
            last = telling(made)
            shown = [verdict for verdict in made if verdict.step is None or verdict is last]
            tables.setdefault(subject(match.a), []).extend(shown)
    made = corrected([verdict for found in tables.values() for verdict in found])
    if not made:
        return ""
    rest = iter(made)
    texts = [f"{title}\n{as_text([next(rest) for _ in found])}" for title, found in tables.items() if found]
    return "\n\n".join([*texts, explained(made)])
