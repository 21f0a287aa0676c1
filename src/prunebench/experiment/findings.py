"""Findings: what the structure of a model alone decides is found once per process, where prunebench builds it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar

import msgspec

from prunebench.models.architecture import Architecture, models

Found = TypeVar("Found")

MOST = 16
"""Findings that are kept, the latest."""

_found: dict[Hashable, object] = {}


def once(architecture: Architecture, what: Hashable, find: Callable[[], Found]) -> Found:
    """What was found of the same architecture before, or is now.

    A registered model has the same structure each time it is built of the same arguments; a user's own builder may do
    as it likes, so that it is looked at again.

    Args:
        what: tells what is asked for.
    """
    if models.known(architecture.model) is None:
        return find()
    key = (msgspec.json.encode(architecture), what)
    if key not in _found:
        _found[key] = find()
        for oldest in list(_found)[:-MOST]:
            del _found[oldest]
    found: Found = _found[key]  # type: ignore[assignment]
    return found
