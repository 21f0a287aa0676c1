"""Timed: the steps of a run on one backend together, and what pictures of them are called."""

from __future__ import annotations

from collections.abc import Sequence

from prunebench.plots.naming import of_nominal, slug_of, titles
from prunebench.results.matrix_files import Results, Times


def by_run(results: Results) -> list[list[Times]]:
    """The timed steps of each run and backend, the most pruned last, in a stable order."""
    found: dict[str, list[Times]] = {}
    for times in results.times:
        found.setdefault(f"{sorted(times.settings.items())} {times.backend}", []).append(times)
    return [sorted(found[key], key=lambda times: -times.left) for key in sorted(found)]


def titles_of(runs: Sequence[list[Times]]) -> list[str]:
    """A title for a picture about each; backends other than eager PyTorch are named."""
    settings = {str(run[0].settings): run[0].settings for run in runs}
    named = dict(zip(settings, titles(list(settings.values())), strict=True))
    return [named[str(run[0].settings)] + ("" if run[0].backend == "eager" else f", {run[0].backend}") for run in runs]


def timed_slug(figure: str, run: Sequence[Times]) -> str:
    """The name of the files of a picture about one run and backend."""
    backend = run[0].backend
    return slug_of(figure, run[0].settings, "" if backend == "eager" else backend.replace(", ", "-"))


def left_of(times: Times) -> str:
    """`34.87 % of channels left (nominal)`."""
    return f"{100 * times.left:.4g} % of {of_nominal(times.settings)} left (nominal)"
