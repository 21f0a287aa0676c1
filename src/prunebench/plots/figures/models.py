"""Several models in one picture, one per method and criterion."""

from __future__ import annotations

from collections import Counter
from functools import partial

from prunebench.plots.lines import drawable, score_picture
from prunebench.plots.naming import Subject, numbered, slug, subject
from prunebench.plots.registry import Picture, Plot, plots
from prunebench.results.amounts import asked, in_file_names
from prunebench.results.curves import Replicates
from prunebench.results.matrix_files import Results
from prunebench.results.settings import called


def draw(results: Results, axis: str) -> list[Picture]:
    """A line per model and dataset: of its amounts the one that most models share, then that of the most steps."""
    alike: dict[tuple[str, str], list[Replicates]] = {}
    for group in drawable(results.curves, axis):
        settings = group[0].settings
        alike.setdefault((str(settings.get("method")), str(settings.get("criterion"))), []).append(group)
    pictures = []
    for (method, criterion), groups in sorted(alike.items()):
        chosen = one_each(groups)
        if len({group[0].settings.get("model") for group in chosen}) > 1:
            datasets = sorted({subject(group[0].settings).dataset for group in chosen} - {""})
            on = f" on {' and '.join(datasets)}" if datasets else ""
            figure = partial(score_picture, f"several models{on}, {method}, {called(criterion)}", chosen, axis)
            pictures.append(Picture(slug("models", method, criterion, axis=axis), figure))
    return numbered(pictures)


def one_each(groups: list[Replicates]) -> list[Replicates]:
    """One group of every model and dataset."""
    pairs = {(subject(group[0].settings), _amount(group)) for group in groups}
    shared = Counter(amount for _, amount in pairs)
    found: dict[Subject, Replicates] = {}
    for group in groups:
        of = subject(group[0].settings)
        if of not in found or _rank(group, shared) > _rank(found[of], shared):
            found[of] = group
    return [found[of] for of in sorted(found)]


def _rank(group: Replicates, shared: Counter[tuple[str, str]]) -> tuple[int, int]:
    return shared[_amount(group)], max(len(curve.steps) for curve in group)


def _amount(group: Replicates) -> tuple[str, str]:
    return asked(group[0].settings), in_file_names(group[0].settings)


plots.add(
    "models",
    Plot(
        "models", "several models in one picture", draw, "two models pruned by one criterion", by_axis=True, scored=True
    ),
)
