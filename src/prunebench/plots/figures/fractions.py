"""Several fractions of one model, one shot among them: a picture per model, dataset, method and criterion."""

from __future__ import annotations

from prunebench.plots.lines import drawable, score_picture
from prunebench.plots.naming import Subject, numbered, slug, subject
from prunebench.plots.registry import Picture, Plot, plots
from prunebench.results.curves import Replicates
from prunebench.results.matrix_files import Results
from prunebench.results.settings import called


def draw(results: Results, axis: str) -> list[Picture]:
    """A line per fraction."""
    alike: dict[tuple[Subject, str], list[Replicates]] = {}
    for group in drawable(results.curves, axis):
        settings = group[0].settings
        alike.setdefault((subject(settings), str(settings.get("criterion"))), []).append(group)
    pictures = []
    for (of, criterion), groups in sorted(alike.items(), key=lambda item: item[0]):
        if len({group[0].settings.get("fraction") for group in groups}) > 1:
            figure = score_picture(f"{of}, {called(criterion)}", _ordered(groups), axis)
            pictures.append(Picture(slug("fractions", *of, criterion, axis=axis), figure))
    return numbered(pictures)


def _ordered(groups: list[Replicates]) -> list[Replicates]:
    return sorted(groups, key=lambda group: str(group[0].settings.get("fraction")))


plots.add(
    "fractions",
    Plot(
        "fractions", "several fractions of one model", draw, "two fractions of one criterion", by_axis=True, scored=True
    ),
)
