"""Controls: what a run is held against, to tell what of a loss is pruning's."""

from __future__ import annotations

import msgspec

from prunebench.config import NOT_GIVEN, OF_UNITS, TARGETS, RunConfig, given
from prunebench.experiment.experiment import Experiment
from prunebench.experiment.resolve import resolve
from prunebench.pruning.registry import methods

OF_REMOVAL = (
    *("criterion", "scope", "targets", "include", "exclude", "round_to", "fraction", "sparsity_schedule", "pattern"),
    *(*OF_UNITS, *TARGETS),
)
"""Settings that say what goes."""


def without_removal(experiment: Experiment) -> Experiment:
    """The control of a run: the dense model, trained as long and as its pruned models are, of which nothing goes."""
    control = RunConfig(**given(experiment.settings) | {"until": ()})
    (method,) = [name for name in methods.names() if not methods.get(name).removes]
    return resolve(msgspec.structs.replace(control, method=method, **dict.fromkeys(OF_REMOVAL, NOT_GIVEN)))
