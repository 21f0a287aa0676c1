"""Requests: what settings ask a method to prune."""

from __future__ import annotations

from typing import Any

from prunebench.config import Settings, default
from prunebench.errors import ConfigError
from prunebench.models.input_spec import InputSpec
from prunebench.pruning.amounts import amount
from prunebench.pruning.granularity import read_pattern
from prunebench.pruning.registry import Method, Request


def request_of(settings: Settings, method: Method, inputs: InputSpec, keeps: tuple[str, ...], **more: Any) -> Request:
    """The request of one step.

    Args:
        keeps: globs of modules of the model whose units stay unless they are asked for.
        more: fields of Request that settings do not tell, or that are others here.

    Raises:
        ConfigError: `layer_fraction` cannot be read.
    """
    asked: dict[str, Any] = {
        **amount(settings, method, more.get("step", 1)),
        "inputs": inputs,
        "include": settings.include,
        "exclude": settings.exclude,
        "keeps": keeps if method.narrows else (),
        "kinds": settings.prune,
        "layer_fractions": layer_fractions(settings.layer_fraction),
        "floor": settings.floor,
        "through_norms": settings.through_norms,
        "round_to": settings.round_to,
        "calibration": settings.calibration,
        "pattern": read_pattern(settings.pattern) if settings.pattern is not None else None,
        "scope": settings.scope,
        "by": settings.by,
        "group_reduction": settings.group_reduction,
        "group_normalisation": settings.group_normalisation,
        "targets": settings.targets if method.masks else default("targets"),
    }
    return Request(**asked | more)


def layer_fractions(given: tuple[str, ...]) -> tuple[tuple[str, float], ...]:
    """`layer4.*=0.3` as a glob and its fraction.

    Raises:
        ConfigError: there is no `=`, or no number from 0 to below 1 after it.
    """
    found = []
    for text in given:
        glob, _, number = text.rpartition("=")
        try:
            fraction = float(number)
        except ValueError:
            fraction = -1.0
        if not glob or not 0 <= fraction < 1:
            raise ConfigError(
                f"--layer-fraction {text}: expected a glob of modules, =, and a number from 0 to below 1, such as "
                f"'layer4.*=0.3'."
            )
        found.append((glob, fraction))
    return tuple(found)
