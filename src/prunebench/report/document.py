"""The document of a report: everything that its page shows, as one value without markup."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from prunebench.records import Environment
from prunebench.report.figures import Group, axes_of, by_family, figures
from prunebench.report.remarks import remarks
from prunebench.report.sources import Material
from prunebench.report.verdicts import Comparison, comparisons
from prunebench.results.curves import Curve, axis_title, by_settings, curves_of
from prunebench.runs.commands import command_of, started_from
from prunebench.runs.run import Run
from prunebench.studies.study import StudyRecord


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
    groups: tuple[Group, ...]
    comparisons: tuple[Comparison, ...]
    remarks: tuple[str, ...]
    unfinished: tuple[str, ...]
    machines: tuple[Machine, ...]
    commands: tuple[Command, ...]
    study: StudyRecord | None


def document(material: Material, title: str | None = None) -> Document:
    """The document of some runs.

    Raises:
        RunError: a record is damaged.
    """
    curves = curves_of(material.runs, material.every)
    families = by_family(by_settings(curves))
    named = {family: figures(groups) for family, groups in families.items()}
    found = [group for groups in named.values() for group in groups]
    return Document(
        title=title or _title(material.study, list(families)),
        about=tuple(_about(material, curves, found)),
        axes=tuple(Axis(axis, axis_title(axis)) for axis in axes_of(found)),
        groups=tuple(found),
        comparisons=tuple(
            row
            for family, groups in families.items()
            for row in comparisons(family, groups, [group.label for group in named[family]])
        ),
        remarks=tuple(line for family, groups in families.items() for line in remarks(groups, named[family])),
        unfinished=material.unfinished,
        machines=tuple(_machines(material)),
        commands=tuple(_commands(material)),
        study=material.study if material.study and material.study.source else None,
    )


def _title(study: StudyRecord | None, families: Sequence[str]) -> str:
    if study and study.name:
        return study.name
    more = f" and {len(families) - 2} more" if len(families) > 2 else ""
    return f"Pruning {', '.join(families[:2])}{more}"


def _about(material: Material, curves: Sequence[Curve], groups: Sequence[Group]) -> list[str]:
    """What was run, and how to read its figures, in a few sentences."""
    timings = material.timings
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


def _machines(material: Material) -> list[Machine]:
    """Every machine once, whatever seeds it computed."""
    computed: dict[str, tuple[Environment, list[Run]]] = {}
    for run in (*material.runs, *material.timings):
        environment = msgspec.structs.replace(run.environment(), seed=0)
        computed.setdefault(repr(environment), (environment, []))[1].append(run)
    rows = []
    for environment, runs in computed.values():
        timed = sum(run.manifest.kind == "efficiency" for run in runs)
        parts = [_count(len(runs) - timed, "pruning run")] * (timed < len(runs)) + [f"{timed} of timings"] * bool(timed)
        rows.append(Machine(" and ".join(parts), environment))
    return rows


def _commands(material: Material) -> list[Command]:
    sources = {run.key: run for run in material.runs}
    before = {first.key: first for run in material.runs if (first := started_from(run)) is not None}
    pruned = [Command(run.key, command_of(run)) for run in (*before.values(), *material.runs)]
    timed = [Command(run.key, command_of(run, sources[str(run.manifest.source)])) for run in material.timings]
    return pruned + timed


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + "s" * (number != 1)


def _some(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds[:8])) + (f" … {seeds[-1]}" if len(seeds) > 8 else "")
