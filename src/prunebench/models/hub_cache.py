"""The cache of Hugging Face's hub: which files of a name are on this machine. Nothing is downloaded."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def cached(name: str, files: Iterable[str]) -> Path | None:
    """The first of some files of a name of Hugging Face that lies in the cache; None where none does."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    for file in files:
        try:
            found = try_to_load_from_cache(name, file)
        except (HFValidationError, OSError, ValueError):  # it is no name of theirs
            return None
        if isinstance(found, str):
            return Path(found)
    return None
