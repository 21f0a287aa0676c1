"""A study: a grid of runs, laid over settings that they share, and the controls that it asks for."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from prunebench.config import RunConfig, Settings, default, given, merge
from prunebench.errors import ConfigError
from prunebench.experiment.controls import without_removal
from prunebench.experiment.experiment import Experiment
from prunebench.experiment.identity import as_stored
from prunebench.experiment.resolve import resolve
from prunebench.latency.config import EfficiencyConfig
from prunebench.pruning.registry import criteria, methods
from prunebench.pruning.shares import kept_as
from prunebench.registry import reference, without_folder
from prunebench.studies.families import Comparisons
from prunebench.studies.parts import outside

log = logging.getLogger(__name__)

THREADS = 1
"""CPU threads of each run, unless [base] says otherwise: results depend on them, and must not on who computes a run."""


class Study(msgspec.Struct, frozen=True, kw_only=True):
    """A study as its file has it.

    Attributes:
        name: the file's, without its ending.
        file: its path.
        source: its text.
        bases: the settings that the grid is laid over, one or several.
        grid: field → values.
        exclude: combinations that are left out: field → value.
        controls: the models beside whose runs controls are run; None: all.
        timings: how runs are timed: a config for every backend and dtype.
        comparisons: which comparisons are made; None: all, of whatever is there.
        sets: settings of every run, whatever the file says of them, as `NAME=VALUE`; `over` as a config.
        only: which runs are meant: field → values; what does not fit besides is left out.
    """

    name: str
    file: str
    source: str
    bases: tuple[RunConfig, ...]
    grid: dict[str, list[Any]]
    exclude: tuple[dict[str, Any], ...]
    controls: tuple[str, ...] | None
    timings: tuple[EfficiencyConfig, ...]
    comparisons: Comparisons | None = None
    sets: tuple[str, ...] = ()
    over: RunConfig = RunConfig()
    only: Mapping[str, list[Any]] = {}

    def has(self, settings: Settings) -> bool:
        """Whether a run is one that is meant."""
        return all(any(_has(settings, {name: value}) for value in values) for name, values in self.only.items())


def tracked_by(study: Study, names: Sequence[str]) -> Study:
    """A study whose runs these trackers are told of, where there are any, instead of those of its file."""
    told = {"track": tuple(names)} if names else {}
    return msgspec.structs.replace(study, bases=tuple(msgspec.structs.replace(base, **told) for base in study.bases))


def experiments_of(study: Study, runs_dir: str | None = None, *, fetch: bool = False) -> list[Experiment]:
    """Every experiment of a study, each run once, in a stable order; all in a folder of the study's own.

    Args:
        study: what to run.
        runs_dir: where the study's folder is, instead of what its file says.
        fetch: whether data that is not here yet is downloaded, so that its contents decide the runs.

    Raises:
        ConfigError: a combination is none that can run; the message names it.
    """
    found: dict[str, Experiment] = {}
    combinations = combined(study, runs_dir)
    for experiment in combinations if fetch else ():
        experiment.fetch()
    _check_together(study, [experiment.settings for experiment in combinations])
    for experiment in combinations:
        controlled = study.controls is None or any(_is_of(experiment.settings, name) for name in study.controls)
        for each in [experiment, *(_controls(experiment) if controlled else ())]:
            other = found.setdefault(each.run.key, each)
            if other.settings.iterations < each.settings.iterations:
                found[each.run.key] = each
    if not found:
        raise ConfigError(f"The study {study.name} has no run: [[exclude]] leaves none of the grid.")
    return list(found.values())


def part_of(study: Study, planned: Sequence[Experiment]) -> list[Experiment]:
    """Those of the planned runs that `--only` means; all where it says nothing.

    Raises:
        ConfigError: there is none.
    """
    found = [each for each in planned if study.has(each.settings)]
    if not found:
        told = ", ".join(f"{name}={value}" for name, values in study.only.items() for value in values)
        raise ConfigError(f"--only {told}: the study {study.name} has no such run.")
    return found


def folder_of(planned: Sequence[Experiment]) -> Path:
    """The study's folder."""
    return planned[0].run.root


def combined(study: Study, runs_dir: str | None) -> list[Experiment]:
    """What the grid is made of, each combination once for every way to write it."""
    return _left(study, list(_combinations(study, runs_dir)))


def _combinations(study: Study, runs_dir: str | None) -> Iterator[Experiment]:
    for base, values in itertools.product(study.bases, itertools.product(*study.grid.values())):
        chosen = dict(zip(study.grid, values, strict=True))
        asked = base
        try:
            asked = merge(study.over, merge(RunConfig(**chosen), base))
            folder = Path(runs_dir or asked.runs_dir or default("runs_dir")) / study.name
            threads = asked.threads or THREADS
            experiment = resolve(msgspec.structs.replace(asked, runs_dir=str(folder), threads=threads))
        except ConfigError as error:
            if outside(asked, study.only):
                log.warning("study %s: runs of %s are left out: %s", study.name, reference(asked.model), error)
                continue
            said = ", ".join(f"{name} = {value!r}" for name, value in chosen.items()) or "[base]"
            fits = " What it does not fit is left out with --only, such as --only model=resnet18." * bool(
                given(study.over)
            )
            raise ConfigError(f"Study {study.name}, {said}: {error}{fits}") from None
        yield experiment


def _left(study: Study, combinations: Sequence[Experiment]) -> list[Experiment]:
    """Combinations but for those that the study excludes; what excludes none is warned of."""
    for excluded in study.exclude:
        if not any(_has(experiment.settings, excluded) for experiment in combinations):
            told = ", ".join(f"{name} = {value!r}" for name, value in excluded.items())
            log.warning("study %s, [[exclude]] %s: no run has these settings; nothing is left out", study.name, told)
    return [
        experiment
        for experiment in combinations
        if not any(_has(experiment.settings, excluded) for excluded in study.exclude)
    ]


def _check_together(study: Study, combinations: Sequence[Settings]) -> None:
    """Raise ConfigError where controls or timings do not go with the runs."""
    models = list(dict.fromkeys(str(config.model) for config in combinations))
    for name in study.controls or ():
        if not any(_is_of(config, name) for config in combinations):
            raise ConfigError(f"Study {study.name}, controls: it has no runs of {name!r}, but of {', '.join(models)}.")
    if study.controls != () and any(config.until for config in combinations):
        raise ConfigError(
            f"Study {study.name}: how many steps `until` takes is known at its end only, and controls take as many. "
            'Leave controls out; to compare with random pruning, give criterion = ["l2", "random"] in [grid].'
        )
    if study.timings and any(config.keep == "records" for config in combinations):
        raise ConfigError(
            f'Study {study.name}: keep = "records" leaves no checkpoints, and [efficiency] times them. Leave one out.'
        )


def _is_of(settings: Settings, name: str) -> bool:
    """Whether a run is of the model of this name; of a file of the user's its name alone tells, and its whole path."""
    model = reference(settings.model)
    return name == without_folder(model) or reference(name) == model


def _controls(experiment: Experiment) -> Iterable[Experiment]:
    """Random pruning, and the dense model trained for as many epochs, whatever the run removes."""
    if experiment.method.removes:
        control = RunConfig(**given(experiment.settings) | {"until": ()})
        yield resolve(msgspec.structs.replace(control, criterion="random"))
        yield without_removal(experiment)


def _has(settings: Settings, combination: Mapping[str, Any]) -> bool:
    """Whether an experiment has all these settings."""
    mine = as_stored(settings) | {"weights": settings.weights}
    asked = {name: criteria.named(value) if name == "criterion" else value for name, value in combination.items()}
    if "scope" in asked:
        asked["scope"] = kept_as(asked["scope"], methods.get(settings.method).narrows) or default("scope")
    return all(without_folder(mine[name]) == without_folder(value) for name, value in asked.items())
