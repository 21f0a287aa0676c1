"""The document of a report: everything that its page shows, as one value without markup."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from prunebench.records import Environment
from prunebench.report.board import Shown, shown
from prunebench.report.damage import Damaged, damaged
from prunebench.report.figures import Series, axes_of, by_family, figures
from prunebench.report.layers import Left, Whole, layers
from prunebench.report.remarks import remarks
from prunebench.report.sources import Sources
from prunebench.report.verdicts import Comparison, comparisons
from prunebench.results.curves import Curve, axis_title, by_settings, curves_of, sparing
from prunebench.runs.commands import command_of, started_from
from prunebench.runs.index import each
from prunebench.runs.run import Run
from prunebench.studies.record import StudyRecord


class Axis(msgspec.Struct, frozen=True):
    """Something to draw accuracy over, and what it is called."""

    name: str
    title: str


class Machine(msgspec.Struct, frozen=True):
    """A machine with its software, and what was computed on it."""

    computed: str
    environment: Environment


class Command(msgspec.Struct, frozen=True):
    """A run and the command that computes it; None where none can."""

    run: str
    command: str | None


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """All that a page shows; figures as numbers, shares and accuracies between 0 and 1."""

    title: str
    about: tuple[str, ...]
    axes: tuple[Axis, ...]
    groups: tuple[Series, ...]
    comparisons: tuple[Comparison, ...]
    board: Shown | None
    models: tuple[Whole, ...]
    layers: tuple[Left, ...]
    damages: tuple[Damaged, ...]
    remarks: tuple[str, ...]
    unfinished: tuple[str, ...]
    machines: tuple[Machine, ...]
    commands: tuple[Command, ...]
    study: StudyRecord | None


def document(sources: Sources, title: str | None = None) -> Document:
    """The document of some runs.

    Raises:
        RunError: a record is damaged.
    """
    curves = sparing(curves_of(sources.runs, sources.every))
    families = by_family(by_settings(curves))
    named = {family: figures(groups) for family, groups in families.items()}
    found = [group for groups in named.values() for group in groups]
    fixed = shown(sources.study, curves)
    models, left = layers([group for groups in families.values() for group in groups])
    return Document(
        title=title or _title(sources.study, list(families)),
        about=tuple(_about(sources, curves, found if fixed is None else ())),
        axes=tuple(Axis(axis, axis_title(axis)) for axis in axes_of(found)),
        groups=tuple(found),
        comparisons=tuple(
            row
            for family, groups in (families.items() if fixed is None else ())
            for row in comparisons(family, groups, [group.label for group in named[family]])
        ),
        board=fixed,
        models=models,
        layers=left,
        damages=tuple(damaged(sources.runs)),
        remarks=tuple(line for family, groups in families.items() for line in remarks(groups, named[family])),
        unfinished=sources.unfinished,
        machines=tuple(_machines(sources)),
        commands=tuple(_commands(sources)),
        study=sources.study if sources.study and sources.study.source else None,
    )


def _title(study: StudyRecord | None, families: Sequence[str]) -> str:
    if study and study.name:
        return study.name
    more = f" and {len(families) - 2} more" if len(families) > 2 else ""
    return f"Pruning {', '.join(families[:2])}{more}"


def _about(sources: Sources, curves: Sequence[Curve], groups: Sequence[Series]) -> list[str]:
    """What was run, and how to read its figures, in a few sentences."""
    timings = sources.timings
    seeds = sorted({curve.seed for curve in curves})
    steps = max(curve.steps[-1] for curve in curves)
    samples = sorted({curve.tested[0] for curve in curves})
    told = [
        f"{_count(len(curves), 'pruning run')} of at most {_count(steps, 'step')}, {_count(len(seeds), 'seed')} "
        f"({_some(seeds)}), tested on {' or '.join(f'{n:,}' for n in samples)} samples each"
        + (f"; {_count(len(timings), 'run')} of timings." if timings else "; not timed.")
    ]
    for family in dict.fromkeys(group.family for group in groups):
        names = [group.label for group in groups if group.family == family]
        told.append(f"{family}: {'; '.join(names)}.")
    return told


def _machines(sources: Sources) -> list[Machine]:
    """Every machine once, whatever seeds it computed."""
    computed: dict[str, tuple[Environment, list[Run]]] = {}
    for run in (*sources.runs, *sources.timings):
        environment = msgspec.structs.replace(run.environment(), seed=0)
        computed.setdefault(repr(environment), (environment, []))[1].append(run)
    rows = []
    for environment, runs in computed.values():
        timed = sum(run.manifest.kind == "efficiency" for run in runs)
        parts = [_count(len(runs) - timed, "pruning run")] * (timed < len(runs)) + [f"{timed} of timings"] * bool(timed)
        rows.append(Machine(" and ".join(parts), environment))
    return rows


def _commands(sources: Sources) -> list[Command]:
    pruned_by_key = {run.key: run for run in sources.runs}
    before = {first.key: first for first in each(sources.runs, started_from, _folder) if first is not None}

    def told(run: Run) -> Command:
        source = pruned_by_key.get(str(run.manifest.source)) if run.manifest.kind == "efficiency" else None
        return Command(run.key, command_of(run, source))

    return each((*before.values(), *sources.runs, *sources.timings), told, _folder)


def _folder(run: Run) -> Path:
    return run.folder


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + "s" * (number != 1)


def _some(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds[:8])) + (f" … {seeds[-1]}" if len(seeds) > 8 else "")
