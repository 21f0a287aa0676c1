"""Quiet: transformers and the hub of Hugging Face say what is wrong, and nothing else."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Within it transformers and the hub tell errors only; after it, whatever their user wants to hear."""
    from transformers.utils import logging as transformers_logging

    hub = logging.getLogger("huggingface_hub")
    verbosity, level = transformers_logging.get_verbosity(), hub.level
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    hub.setLevel(logging.ERROR)  # its retries are no news
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        hub.setLevel(level)
        if bars:
            transformers_logging.enable_progress_bar()
