"""Exported: whether a file is one that `prunebench export` wrote. Knows no torch: a run's key depends on it."""

from __future__ import annotations

from pathlib import Path

from prunebench.reading import check_plain


def is_export(path: Path) -> bool:
    """Whether a weight file tells the structure of its model, as safetensors of `prunebench export` do."""
    from safetensors import SafetensorError, safe_open

    try:
        check_plain(path)
        with safe_open(path, framework="np") as file:
            return "structure" in (file.metadata() or {})
    except (OSError, SafetensorError):  # it is something else, or what reads it tells
        return False
