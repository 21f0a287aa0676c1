"""Elsewhere: the settings of an experiment, so that any process, in any folder, makes the same experiment of them."""

from __future__ import annotations

from pathlib import Path

import msgspec

from prunebench.config import Settings
from prunebench.experiment.experiment import Experiment
from prunebench.experiment.identity import NAMES
from prunebench.registry import reference


def anywhere(experiment: Experiment) -> Settings:
    """The settings with absolute paths, and with the names of what builds models, loads data and scores weights."""
    settings, kind = experiment.settings, experiment.origin.kind
    places = {name: str(Path(getattr(settings, name)).absolute()) for name in ("runs_dir", "data_dir")}
    named = {name: reference(getattr(settings, name)) for name in NAMES}
    told = {"track": tuple(map(reference, settings.track))}
    weights = Path(settings.weights)
    if kind in ("file", "config") or (kind == "hub" and weights.is_dir()):
        places["weights"] = str(weights.absolute())
    return msgspec.structs.replace(settings, **places, **named, **told)
