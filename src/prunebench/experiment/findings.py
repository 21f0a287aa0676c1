"""Findings: what the structure of a model alone decides is found once per process, where prunebench builds it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, TypeVar

import msgspec

from prunebench.models.architecture import Architecture, models

if TYPE_CHECKING:
    from torch import nn

Found = TypeVar("Found")

MOST = 16
"""Findings that are kept, the latest."""

_found: dict[Hashable, object] = {}


def once(
    architecture: Architecture, what: Hashable, find: Callable[[], Found], model: nn.Module | None = None
) -> Found:
    """What was found of the same architecture before, or is now.

    A registered model has the same structure each time it is built of the same arguments; a user's own builder may do
    as it likes, so that it is looked at again.

    Args:
        what: tells what is asked for.
        model: of this architecture, that may have lost units or blocks before: one that has lost others is another.
    """
    if models.known(architecture.model) is None:
        return find()
    left = None if model is None else tuple((name, tuple(p.shape)) for name, p in model.named_parameters())
    key = (msgspec.json.encode(architecture), what, left)
    if key not in _found:
        _found[key] = find()
        for oldest in list(_found)[:-MOST]:
            del _found[oldest]
    found: Found = _found[key]  # type: ignore[assignment]
    return found
