"""Accuracy before and after fine-tuning by what is left: a picture per model, dataset and method."""

from __future__ import annotations

from functools import partial

from prunebench.plots.lines import MOST_LINES, controls_of, drawable, score_picture
from prunebench.plots.naming import Subject, numbered, slug, subject, titles
from prunebench.plots.registry import Picture, Plot, plots
from prunebench.results.curves import Replicates
from prunebench.results.matrix_files import Results


def draw(results: Results, axis: str) -> list[Picture]:
    """Before dashed, after solid, the control beside them."""
    subjects: dict[Subject, list[Replicates]] = {}
    for group in drawable(results.curves, axis):
        subjects.setdefault(subject(group[0].settings), []).append(group)
    pictures = []
    for of, groups in sorted(subjects.items()):
        for first in range(0, len(groups), MOST_LINES):
            shown = groups[first : first + MOST_LINES]
            controls = controls_of(shown, results.curves)
            title = titles([shown[0][0].settings])[0] if len(groups) == 1 else str(of)
            figure = partial(score_picture, title, shown, axis, controls=controls, before=True)
            pictures.append(Picture(slug("accuracy", *of, axis=axis), figure))
    return numbered(pictures)


plots.add(
    "accuracy",
    Plot(
        "accuracy", "accuracy before and after fine-tuning, by what is left", draw, "a curve", by_axis=True, scored=True
    ),
)
