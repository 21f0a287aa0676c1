"""Criteria against each other, such as L1 against random: a picture per model, dataset, method and fraction."""

from __future__ import annotations

from prunebench.plots.lines import controls_of, drawable, score_picture
from prunebench.plots.naming import Subject, numbered, per_step, slug, subject
from prunebench.plots.registry import Picture, Plot, plots
from prunebench.results.curves import Replicates
from prunebench.results.matrix_files import Results


def draw(results: Results, axis: str) -> list[Picture]:
    """A line per criterion."""
    alike: dict[tuple[Subject, float], list[Replicates]] = {}
    for group in drawable(results.curves, axis):
        fraction = group[0].settings.get("fraction")
        alike.setdefault((subject(group[0].settings), fraction if isinstance(fraction, float) else 0.0), []).append(
            group
        )
    pictures = []
    for (of, fraction), groups in sorted(alike.items(), key=lambda item: item[0]):
        if len({group[0].settings.get("criterion") for group in groups}) > 1:
            title = f"{of}, {per_step(fraction)}"
            figure = score_picture(title, groups, axis, controls=controls_of(groups, results.curves))
            pictures.append(Picture(slug("criteria", *of, f"{100 * fraction:.4g}pc", axis=axis), figure))
    return numbered(pictures)


plots.add(
    "criteria",
    Plot(
        "criteria",
        "criteria against each other, such as l1 against random",
        draw,
        "two criteria at one fraction",
        by_axis=True,
        scored=True,
    ),
)
