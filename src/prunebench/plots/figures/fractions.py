"""Several amounts of one model, fractions or targets, one shot among them: a picture per model, dataset, method and
criterion."""

from __future__ import annotations

from functools import partial

from prunebench.plots.lines import drawable, score_picture
from prunebench.plots.naming import Subject, numbered, slug, subject
from prunebench.plots.registry import Picture, Plot, plots
from prunebench.results.amounts import asked, in_file_names
from prunebench.results.curves import Replicates
from prunebench.results.matrix_files import Results
from prunebench.results.settings import called


def draw(results: Results, axis: str) -> list[Picture]:
    """A line per amount."""
    alike: dict[tuple[Subject, str], list[Replicates]] = {}
    for group in drawable(results.curves, axis):
        settings = group[0].settings
        alike.setdefault((subject(settings), str(settings.get("criterion"))), []).append(group)
    pictures = []
    for (of, criterion), groups in sorted(alike.items(), key=lambda item: item[0]):
        if len({_amount(group) for group in groups}) > 1:
            figure = partial(score_picture, f"{of}, {called(criterion)}", _ordered(groups), axis)
            pictures.append(Picture(slug("fractions", *of, criterion, axis=axis), figure))
    return numbered(pictures)


def _ordered(groups: list[Replicates]) -> list[Replicates]:
    return sorted(groups, key=_amount)


def _amount(group: Replicates) -> tuple[str, str]:
    return asked(group[0].settings), in_file_names(group[0].settings)


plots.add(
    "fractions",
    Plot(
        "fractions",
        "several fractions or targets of one model",
        draw,
        "two fractions, or targets, of one criterion",
        by_axis=True,
        scored=True,
    ),
)
