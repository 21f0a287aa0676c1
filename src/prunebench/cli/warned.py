"""Warnings of Python: the user hears those of their own code, once, and that a GPU cannot be used."""

from __future__ import annotations

import logging
import os
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

TOLD = os.path.join("torch", "cuda", "")  # noqa: PTH118 — a part of a path, with its end
"""Where PyTorch says why a GPU that is there is not used. What else libraries warn of is for who calls them."""


@contextmanager
def warned() -> Iterator[None]:
    """Within it other warnings are not shown; unless Python was told which are, by -W or PYTHONWARNINGS."""
    before, said = warnings.showwarning, set[str]()

    def show(message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: Any, **__: Any) -> None:
        text = f"{Path(filename).name}:{lineno}: {message}"
        if text not in said and (TOLD in filename or _is_users(Path(filename))):
            said.add(text)
            log.warning("%s", text)

    if not sys.warnoptions:
        warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = before


def _is_users(path: Path) -> bool:
    kinds = ("stdlib", "platstdlib", "purelib", "platlib")
    installed = [Path(sysconfig.get_path(kind)) for kind in kinds] + [Path(__file__).parent.parent]
    return path.is_file() and not any(path.is_relative_to(folder) for folder in installed)
