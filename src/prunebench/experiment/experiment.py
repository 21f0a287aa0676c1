"""Experiment: a resolved config, which says what will be done; nothing below takes a config or resolves again."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from prunebench.config import Settings
from prunebench.data.dataset import Dataset, DatasetEntry
from prunebench.errors import DataError
from prunebench.experiment.dataset import load
from prunebench.experiment.goals import Goal
from prunebench.experiment.identity import data_digest, identity
from prunebench.models.architecture import ModelEntry
from prunebench.pruning.registry import Criterion, Method
from prunebench.registry import reference
from prunebench.runs.manifest import Manifest
from prunebench.runs.run import Run


@dataclass(frozen=True)
class Origin:
    """Where the first model of a run comes from, as `weights` says.

    Attributes:
        kind: fresh weights, ImageNet's, a file, a run, a run that another config makes, or Hugging Face.
        run: the run; of another config even where it is not trained yet.
        before: the experiment of the other config.
    """

    kind: Literal["none", "imagenet", "file", "run", "config", "hub"]
    run: Run | None = None
    before: Experiment | None = None

    @property
    def pretrained(self) -> bool:
        """Whether the weights are published, or come from a file: they were trained elsewhere, on other data."""
        return self.kind in ("imagenet", "file", "hub")


@dataclass(frozen=True)
class Experiment:
    """What will be done: every setting, the entries that they name, and the runs that hold it."""

    settings: Settings
    model: ModelEntry
    data: DatasetEntry
    method: Method
    criterion: Criterion
    goals: tuple[Goal, ...]
    origin: Origin

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
        """The trainings that are still to be done, in their order; none where the dense model is there."""
        return [] if self.dense.steps() else [phase for phase in self.phases if not phase.dense.steps()]

    def _identity(self, kind: Literal["train", "prune"], source: str | None) -> Manifest:
        return identity(kind, self.settings, self.origin.run, lambda: self.data_digest, source)
