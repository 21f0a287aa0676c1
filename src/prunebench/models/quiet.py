"""Quiet: libraries say what is wrong, and nothing else."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Within it transformers and the hub tell errors only; after it, whatever their user wants to hear."""
    from transformers.utils import logging as transformers_logging

    verbosity, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    with quiet_hub():
        transformers_logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()
        try:
            yield
        finally:
            transformers_logging.set_verbosity(verbosity)
            if bars:
                transformers_logging.enable_progress_bar()


@contextmanager
def quiet_hub() -> Iterator[None]:
    """Within it the hub's client shows no bars and tells errors only, of which its retries are none."""
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    hub, hidden = logging.getLogger("huggingface_hub"), are_progress_bars_disabled()
    level = hub.level
    hub.setLevel(logging.ERROR)
    disable_progress_bars()
    try:
        yield
    finally:
        hub.setLevel(level)
        (disable_progress_bars if hidden else enable_progress_bars)()


@contextmanager
def silence() -> Iterator[None]:
    """Within it no library warns: compilers, exporters and quantisers do of what is no concern of a user, through the
    root logger too."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.WARNING))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
