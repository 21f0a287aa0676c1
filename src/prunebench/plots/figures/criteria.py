"""Criteria against each other, such as L1 against random: a picture per model, dataset, method and amount."""

from __future__ import annotations

from functools import partial

from prunebench.config import to_target
from prunebench.plots.lines import controls_of, drawable, score_picture
from prunebench.plots.naming import Subject, amount, numbered, slug, subject
from prunebench.plots.registry import Picture, Plot, plots
from prunebench.results.amounts import in_file_names
from prunebench.results.curves import Replicates
from prunebench.results.matrix_files import Results


def draw(results: Results, axis: str) -> list[Picture]:
    """A line per criterion."""
    alike: dict[tuple[Subject, float, str], list[Replicates]] = {}
    for group in drawable(results.curves, axis):
        settings = group[0].settings
        fraction = settings.get("fraction")
        same = (subject(settings), fraction if isinstance(fraction, float) else 0.0, in_file_names(settings))
        alike.setdefault(same, []).append(group)
    pictures = []
    for (of, fraction, target), groups in sorted(alike.items(), key=lambda item: item[0]):
        settings = groups[0][0].settings
        if len({group[0].settings.get("criterion") for group in groups}) > 1:
            title = ", ".join(filter(None, [str(of), amount(settings)]))
            figure = partial(score_picture, title, groups, axis, controls=controls_of(groups, results.curves))
            share = "" if to_target(settings) else f"{100 * fraction:.4g}pc"
            pictures.append(Picture(slug("criteria", *of, target, share, axis=axis), figure))
    return numbered(pictures)


plots.add(
    "criteria",
    Plot(
        "criteria",
        "criteria against each other, such as l1 against random",
        draw,
        "two criteria at one amount",
        by_axis=True,
        scored=True,
    ),
)
