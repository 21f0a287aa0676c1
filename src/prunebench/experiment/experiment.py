"""Experiment: a resolved config, which says what will be done; nothing below takes a config or resolves again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import msgspec

from prunebench.config import Settings, default, option_name
from prunebench.data.dataset import Dataset, DatasetEntry, datasets
from prunebench.errors import DataError, RunError
from prunebench.experiment.dataset import load
from prunebench.experiment.goals import Goal
from prunebench.experiment.identity import NAMES, data_digest, identity
from prunebench.models.architecture import ModelEntry, given_arguments, models
from prunebench.pruning.registry import Criterion, Method, criteria, methods, of_samples
from prunebench.pruning.shares import needs_of
from prunebench.registry import reference
from prunebench.runs.manifest import Manifest
from prunebench.runs.run import Run
from prunebench.runs.trust import check, note
from prunebench.training.policies import Policy, policies

TRUST = "; or have it imported by --trust, if you would run whatever it holds."
"""What else can be done where a command may import code that a run names."""


@dataclass(frozen=True)
class Origin:
    """Where the first model of a run comes from, as `weights` says.

    Attributes:
        kind: fresh weights, those that a library has of the model, a file, a run, a run that another config makes, or
            Hugging Face.
        run: the run; of another config even where it is not trained yet.
        before: the experiment of the other config.
    """

    kind: Literal["none", "published", "file", "run", "config", "hub"]
    run: Run | None = None
    before: Experiment | None = None

    @property
    def pretrained(self) -> bool:
        """Whether the weights are published, or come from a file: they were trained elsewhere, on other data."""
        return self.kind in ("published", "file", "hub")


@dataclass(frozen=True)
class Stored:
    """That an experiment is that of a run, which names its code.

    Attributes:
        given: settings that the user has given anew.
        trusted: whether the user would run whatever code it names.
    """

    run: Run
    given: frozenset[str]
    trusted: bool


@dataclass(frozen=True)
class Experiment:
    """What will be done: every setting, the entries that they name, and the runs that hold it.

    Entries are looked up when they are first asked for, since that imports the user's code; of a run that is there only
    what is needed, and only where it may be imported (`runs.trust`).
    """

    settings: Settings
    goals: tuple[Goal, ...]
    origin: Origin
    stored: Stored | None = None

    @cached_property
    def model(self) -> ModelEntry:
        """The model's entry; raises ConfigError where it cannot, or may not, be imported."""
        entry = models.get(self._named("model"))
        pinned = self.stored is not None and "model" not in self.stored.given
        return replace(entry, arguments=given_arguments(self.settings.model_arg)) if pinned else entry

    @cached_property
    def data(self) -> DatasetEntry:
        """The dataset's entry; raises as `model`."""
        return datasets.get(self._named("dataset"))

    @cached_property
    def method(self) -> Method:
        """The method's entry."""
        return methods.get(self.settings.method)

    @cached_property
    def policy(self) -> Policy:
        """The entry of how a pruned model is retrained."""
        return policies.get(self.settings.retrain)

    @property
    def retrained(self) -> bool:
        """Whether a pruned model is trained."""
        return self.policy.recipe_of(self.settings).epochs > 0

    @cached_property
    def criterion(self) -> Criterion:
        """The criterion's entry; raises as `model`."""
        return criteria.get(self._named("criterion"))

    @property
    def ranking(self) -> Callable[..., Any]:
        """How the criterion scores what the method removes; raises ConfigError where it does not, and as `model`."""
        return self.method.ranking(self.criterion, self.settings.group_reduction)

    @property
    def fresh(self) -> bool:
        """Whether nothing is trained before the pruning, and no weights are given; nor may a builder of the user's own
        have brought any."""
        given = self.origin.kind != "none" or models.known(self.settings.model) is None
        return not (self.settings.epochs or given)

    def settled(self) -> Experiment:
        """The same without what its criterion does not ask for, so that a study of several is about the same runs as
        each by itself: samples to look at, of one that looks at none. Raises as `ranking`."""
        if of_samples(needs_of(self.ranking, self.settings.scope)):
            return self
        return replace(self, settings=msgspec.structs.replace(self.settings, calibration=default("calibration")))

    def note_code(self) -> None:
        """Note that the user has given the code of this experiment, so that its runs are believed."""
        if self.stored is None:
            for name in NAMES:
                note(name, str(reference(getattr(self.settings, name))), self._arguments(name))

    def _named(self, name: str) -> Any:
        """A setting that names an entry.

        Raises:
            ConfigError: it names code that a run names, and that may not be imported.
        """
        value, stored = getattr(self.settings, name), self.stored
        if stored is not None and not stored.trusted and name not in stored.given:
            check_code(name, str(value), self._arguments(name), f"Run {stored.run.key}", trust=True)
        return value

    def _arguments(self, name: str) -> dict[str, Any]:
        return given_arguments(self.settings.model_arg) if name == "model" else {}

    @property
    def first(self) -> Experiment | None:
        """The training that comes before this one's, where `weights` names another config."""
        return self.origin.before

    @property
    def phases(self) -> list[Experiment]:
        """The trainings, in their order: this one's, and before it the one that `weights` may name."""
        return [*([self.first] if self.first else []), self]

    @cached_property
    def dataset(self) -> Dataset:
        """The data, loaded when it is first asked for."""
        return load(self.data, self.settings)

    def fetch(self) -> None:
        """Have data that is not here yet downloaded: only then its contents are known, which decide the keys.

        Raises:
            DataError: it cannot be downloaded.
        """
        if self.data.downloads and not list(self.data.files(Path(self.settings.data_dir))):
            _ = self.dataset

    @cached_property
    def data_digest(self) -> str | None:
        """Digest of the data; None of data that its name alone decides."""
        return data_digest(self.data, self.settings, lambda: self.dataset)

    def check_data(self) -> None:
        """Raise DataError where files of data are no longer what they were when the run's key was made of them."""
        if self.data_digest is None or (self.data.own and self.dataset.kind != "files"):
            return
        if data_digest(self.data, self.settings, lambda: self.dataset) != self.data_digest:
            raise DataError(
                f"The data in {self.settings.data_dir} changed while it was read, so what was computed of it is not "
                f"kept. Give the command again: with the data as it was it goes on, with other data it is another run."
            )

    @cached_property
    def dense(self) -> Run:
        """The run that trains the dense model; every pruning run of the same training shares it.

        Raises:
            DataError: the data is missing, or an own loader returns other data each time.
        """
        run = Run(self.settings.runs_dir, self._identity("train", None))
        if self.data.own and not run.folder.exists():
            again = data_digest(self.data, self.settings, lambda: load(self.data, self.settings))
            if again != self.data_digest:
                raise DataError(
                    f"{reference(self.settings.dataset)} returned other data when it was called again, so no figure "
                    f"could be repeated. Have it return the same each time; it may ask for `seed`."
                )
        return run

    @cached_property
    def run(self) -> Run:
        """The run that prunes."""
        return self.dense.sibling(self._identity("prune", self.dense.key))

    def untrained_phases(self) -> list[Experiment]:
        """The trainings that are still to be done, in their order; none where the dense model is there.

        A run that is damaged is to be done: whoever does it is told.
        """
        return [phase for phase in self.phases if _is_missing(phase.dense)] if _is_missing(self.dense) else []

    def _identity(self, kind: Literal["train", "prune"], source: str | None) -> Manifest:
        evidence = kind == "prune" and self._gathers
        return identity(kind, self.settings, self.origin.run, lambda: self.data_digest, source, evidence=evidence)

    @property
    def _gathers(self) -> bool:
        """Whether the criterion asks for what is gathered; of one that may not be imported, as its run says."""
        entry, stored = criteria.known(self.settings.criterion), self.stored
        if entry is None and stored is not None and not stored.trusted and "criterion" not in stored.given:
            return "evidence" in stored.run.manifest.contents
        ranking = self.method.fitting(entry or self.criterion) if self.method.removes else None
        return ranking is not None and bool(needs_of(ranking, self.settings.scope))


def check_code(name: str, value: str, arguments: Mapping[str, Any], whose: str, *, trust: bool = False) -> None:
    """Raise ConfigError where a setting of a run names code that was not given on this machine.

    With `trust` the message says that --trust has it imported all the same.
    """
    does = {"model": "builds its model", "dataset": "loads its data", "criterion": "scores its weights"}[name]
    instead = f"Give what {does}: {option_name(name)} FILE:FUNCTION"
    check(name, value, arguments, whose=whose, instead=f"{instead}{TRUST if trust else '.'}")


def _is_missing(run: Run) -> bool:
    try:
        return not run.steps()
    except RunError:
        return True
