"""Damage: what `prunebench damage` found of the runs of a report, as it is shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from prunebench.experiment.damages import FOLDER, kept
from prunebench.records import Shown
from prunebench.results.damage import Damage, damage_of
from prunebench.results.damage_tables import summary, verdict
from prunebench.runs.run import Run


class Damaged(msgspec.Struct, frozen=True, kw_only=True):
    """A step of a run: what it lost, in figures and in sentences, and the samples that are to be seen."""

    title: str
    told: tuple[str, ...]
    verdict: str
    damage: Damage
    shown: tuple[Shown, ...]


def damaged(runs: Sequence[Run]) -> Iterator[Damaged]:
    """Every step of some runs of which it was computed, and which has not changed since."""
    for run in runs:
        for step in run.steps() if (run.folder.parent / FOLDER).is_dir() else ():
            if (record := kept(run, step)) is not None:
                found = damage_of(record)
                yield Damaged(
                    title=f"{run.key}, step {step}",
                    told=tuple(summary(found)),
                    verdict=verdict(found.classes, "class").replace("\n", " "),
                    damage=found,
                    shown=record.shown,
                )
