"""The board of a study as its page shows it: the tables of the terminal, with what is told apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

import msgspec

from prunebench.comparison.board import Paired, board
from prunebench.comparison.board_tables import about, difference, explained, p_value, rank, spread
from prunebench.results.curves import Curve
from prunebench.studies.record import StudyRecord


class Against(msgspec.Struct, frozen=True):
    """A difference in words, its corrected p-value, and whether it tells the two apart."""

    difference: str
    p: str
    told: bool


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A row; of a model of which nothing was removed, `rank` and what follows the score are empty."""

    rank: str
    name: str
    score: str
    against: tuple[Against, ...] = ()
    area: str = ""
    area_against: tuple[str, ...] = ()
    seconds: str = ""


class Ranking(msgspec.Struct, frozen=True, kw_only=True):
    """A table: one model with one budget."""

    title: str
    about: str
    metric: str
    against: tuple[str, ...]
    entries: tuple[Entry, ...]


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """All tables, what fixed their comparisons, and what their columns mean."""

    told: tuple[str, ...]
    tables: tuple[Ranking, ...]
    notes: tuple[str, ...]


def shown(study: StudyRecord | None, curves: Sequence[Curve]) -> Shown | None:
    """The board of a study; None where its file fixes no comparisons."""
    if study is None or study.family is None:
        return None
    found = board(study.family, curves, study.fixed, PurePath(study.file).name)
    tables = [
        Ranking(
            title=table.title,
            about=about(table),
            metric=table.metric,
            against=table.against,
            entries=(
                *(
                    Entry(
                        rank=rank(row),
                        name=row.criterion,
                        score=spread(row.score),
                        against=tuple(_against(of, table.share) for of in row.against),
                        area=spread(row.area) if row.area else "",
                        area_against=tuple(difference(of, table.share) for of in row.area_against),
                        seconds=f"{row.seconds:.2g}",
                    )
                    for row in table.rows
                ),
                *(Entry(rank="", name=line.name, score=spread(line.score)) for line in table.lines),
            ),
        )
        for table in found.tables
    ]
    return Shown(told=found.told, tables=tuple(tables), notes=tuple(explained(found)))


def _against(of: Paired | None, share: bool) -> Against:
    return Against(difference(of, share), p_value(of), of is not None and of.told)
