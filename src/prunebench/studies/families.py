"""Families: the table `[comparisons]` of a study's file becomes the comparisons of its runs.

    [comparisons]
    against = { unstructured = ["l1", "random"], structured = ["l2", "random"] }   # or one list for every method
    criteria = ["taylor", "wanda"]    # which are compared; every one of the study, unless it is given
    family = "budget"                 # corrected together: the pairs of one model and budget, or of the whole "study"

Runs of one model and budget, a cell, differ in criterion and seed alone, and in the scope that a criterion has of its
own. What is compared is accuracy after the last step, and the area under it.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

import msgspec

from prunebench.comparison.family import Cell, Family, Together
from prunebench.comparison.verdicts import BUDGET
from prunebench.config import OF_TUNING, deciding
from prunebench.errors import ConfigError, PrunebenchError
from prunebench.experiment.experiment import Experiment
from prunebench.pruning.registry import criteria, methods
from prunebench.results.amounts import asked
from prunebench.results.curves import differing
from prunebench.results.settings import Settings, settings_of

KEYS = ("against", "criteria", "family")

OWN = ("scope", "floor", "calibration")
"""Settings that a criterion has values of its own for, or no use."""


class Comparisons(msgspec.Struct, frozen=True, kw_only=True):
    """`[comparisons]` as a file has it.

    Attributes:
        against: method → the criteria that others are compared with; under "" those of every method.
        criteria: those that are compared; empty: every one.
        together: what is corrected together.
    """

    against: dict[str, tuple[str, ...]]
    criteria: tuple[str, ...] = ()
    together: Together = "budget"

    @property
    def text(self) -> str:
        """`unstructured against l1, random; structured against l2, random; corrected by model and budget`."""
        which = ", ".join(self.criteria) or "every criterion"
        parts = [
            f"{f'{method}: ' * bool(method)}{which} against {', '.join(of)}" for method, of in self.against.items()
        ]
        alike = "all together" if self.together == "study" else "by model and budget"
        return "; ".join([*parts, f"corrected {alike}"])


def comparisons(path: Path, values: Any) -> Comparisons | None:
    """The table of a study's file; None where there is none.

    Raises:
        ConfigError: it is malformed, or names a method or criterion that there is not.
    """
    if values is None:
        return None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: comparisons: expected a table, [comparisons].")
    for name in values:
        if name not in KEYS:
            near = difflib.get_close_matches(name, KEYS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else f" There are: {', '.join(KEYS)}."
            raise ConfigError(f"{path}: [comparisons] has no {name!r}.{hint}")
    against = values.get("against")
    if not isinstance(against, dict):
        against = {"": against}
    together = values.get("family", "budget")
    if together not in get_args(Together):
        raise ConfigError(f'{path}: [comparisons] family: expected "budget" or "study", and not {together!r}.')
    return Comparisons(
        against={_method(path, method): _criteria(path, "against", of) for method, of in against.items()},
        criteria=_criteria(path, "criteria", values["criteria"]) if "criteria" in values else (),
        together=together,
    )


class Member(NamedTuple):
    """A run: its settings as they are told, those in which it is like others of its cell, and itself."""

    told: Settings
    alike: dict[str, object]
    experiment: Experiment


def family_of(
    name: str, asked_for: Comparisons, combinations: Sequence[Experiment], varied: Collection[str] = ()
) -> Family:
    """The comparisons of a study's combinations.

    Args:
        name: the study's.
        asked_for: its table.
        combinations: every run of its grid, and the controls.
        varied: settings that the study gives several values of: of OWN those are no part of a criterion.

    Raises:
        ConfigError: what is compared, or compared with, is not among them.
    """
    cells: dict[str, list[Member]] = {}
    told = settings_of([each.run for each in combinations])
    every = [Member(settings, _alike(each, varied), each) for settings, each in zip(told, combinations, strict=True)]
    for member in every:
        if member.experiment.method.removes:
            cells.setdefault(repr(member.alike), []).append(member)
    titles = _titles([members[0] for members in cells.values()])
    found = [_cell(name, asked_for, title, cell, every) for title, cell in zip(titles, cells.values(), strict=True)]
    unused = asked_for.against.keys() - {"", *(member.experiment.method.name for member in every)}
    if unused:
        raise ConfigError(f"Study {name}, [comparisons] against: it has no runs of {', '.join(sorted(unused))}.")
    left = tuple(cell for cell in found if cell is not None)
    if not any(cell.pairs for cell in left):
        raise ConfigError(f"Study {name}, [comparisons]: nothing is compared with anything.")
    return Family(together=asked_for.together, cells=left)


def _alike(experiment: Experiment, varied: Collection[str]) -> dict[str, object]:
    """The settings in which the runs of a cell are alike."""
    apart = {"seed", "criterion", *OWN} - set(varied) | {"seed", "criterion"}
    names = [*(name for name in deciding("training", "pruning") if name not in apart), "iterations"]
    return {name: getattr(experiment.settings, name) for name in names}


def _cell(
    name: str, asked_for: Comparisons, title: str, cell: Sequence[Member], every: Sequence[Member]
) -> Cell | None:
    """A cell; None where nothing is said of its method."""
    first = cell[0]
    if first.experiment.goals:
        raise ConfigError(
            f"Study {name}, [comparisons]: they are of the last step, and with --until each run ends at one of its "
            f"own: leave out one of the two."
        )
    against = asked_for.against.get(first.experiment.method.name, asked_for.against.get("", ()))
    if not against:
        return None
    entries: dict[str, list[tuple[int, str]]] = {}
    for member in cell:
        settings = member.experiment.settings
        entries.setdefault(str(member.told.get("criterion")), []).append((settings.seed, member.experiment.run.key))
    lacking = [criterion for criterion in (*against, *asked_for.criteria) if criterion not in entries]
    if lacking:
        there = ", ".join(entries)
        raise ConfigError(
            f"Study {name}, [comparisons]: {title} has no runs of {', '.join(lacking)}. There are: {there}."
        )
    same = [key for key in (*deciding("training"), *BUDGET, *OF_TUNING) if key != "seed"]
    controls = [member for member in every if not member.experiment.method.removes]
    return Cell(
        title=title,
        entries={criterion: tuple(key for _, key in sorted(of)) for criterion, of in entries.items()},
        against=against,
        compared=asked_for.criteria or tuple(entries),
        steps=first.experiment.settings.iterations,
        controls=tuple(
            member.experiment.run.key
            for member in sorted(controls, key=lambda member: member.experiment.settings.seed)
            if all(member.alike[key] == first.alike[key] for key in same)
        ),
    )


def _titles(firsts: Sequence[Member]) -> list[str]:
    """What cells are called; never two the same."""
    found = [
        f"{of.get('model')} on {of.get('dataset')}, {of.get('method')}, {asked(of)}" for of in (m.told for m in firsts)
    ]
    for name in differing([member.alike for member in firsts]):
        for same in {title for title in found if found.count(title) > 1}:
            alike = [i for i, title in enumerate(found) if title == same]
            if len({repr(firsts[i].alike[name]) for i in alike}) > 1:
                for i in alike:
                    found[i] += f", {name} {firsts[i].alike[name]}"
    return found


def _method(path: Path, name: str) -> str:
    if name and (name not in methods.names() or not methods.get(name).removes):
        fit = ", ".join(each for each in methods.names() if methods.get(each).removes)
        raise ConfigError(
            f"{path}: [comparisons] against: {name!r} is no method that removes anything; there are: {fit}."
        )
    return name


def _criteria(path: Path, key: str, values: Any) -> tuple[str, ...]:
    if not isinstance(values, list) or not values or not all(isinstance(value, str) for value in values):
        raise ConfigError(f'{path}: [comparisons] {key}: expected a list of criteria, such as ["l1", "random"].')
    try:
        for value in values:
            criteria.get(value)
    except PrunebenchError as error:
        raise ConfigError(f"{path}: [comparisons] {key}: {error}") from None
    return tuple(criteria.named(value) for value in values)
