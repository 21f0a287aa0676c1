"""Showing: how records and runs show themselves in a notebook. What draws them is imported when one is looked at."""

from __future__ import annotations

import importlib
from typing import Any

VIEWS = "prunebench.notebooks.views"


def html(thing: Any) -> str:
    """A record, a run or runs as HTML, which a notebook shows in the place of the plain text."""
    shown: str = importlib.import_module(VIEWS).html(thing)
    return shown
