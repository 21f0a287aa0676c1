"""Libraries are quiet within, and afterwards as they were."""

from __future__ import annotations

import logging
import warnings

import pytest
from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
from transformers.utils import logging as transformers_logging

from prunebench.models.quiet import quiet, quiet_hub, silence


def told():
    """What transformers and the hub tell now."""
    level = logging.getLogger("huggingface_hub").level
    bars = transformers_logging.is_progress_bar_enabled(), are_progress_bars_disabled()
    return transformers_logging.get_verbosity(), level, *bars


@pytest.fixture(autouse=True)
def _as_it_was():
    """What tests change comes back."""
    verbosity, level, bars, hidden = told()
    yield
    transformers_logging.set_verbosity(verbosity)
    logging.getLogger("huggingface_hub").setLevel(level)
    (transformers_logging.enable_progress_bar if bars else transformers_logging.disable_progress_bar)()
    (disable_progress_bars if hidden else enable_progress_bars)()


@pytest.mark.parametrize("hidden", [True, False])
@pytest.mark.parametrize("bars", [True, False])
def test_only_errors_are_told_within_and_afterwards_what_was(bars, hidden):
    transformers_logging.set_verbosity_info()
    (transformers_logging.enable_progress_bar if bars else transformers_logging.disable_progress_bar)()
    (disable_progress_bars if hidden else enable_progress_bars)()
    before = told()

    @quiet()
    def fails():
        assert told() == (logging.ERROR, logging.ERROR, False, True)
        raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert told() == before


def test_the_hub_alone_is_quiet_where_transformers_is_not_asked():
    enable_progress_bars()
    before = told()
    with quiet_hub():
        assert told() == (before[0], logging.ERROR, before[2], True)
    assert told() == before


def test_in_silence_no_library_warns_and_after_it_all_do(caplog):
    with silence():
        warnings.warn("of no concern", UserWarning, stacklevel=1)
        logging.getLogger("some.library").warning("of no concern")
        logging.warning("of no concern")
    assert caplog.text == ""
    with pytest.warns(UserWarning, match="of concern"):
        warnings.warn("of concern", UserWarning, stacklevel=1)
    logging.getLogger("some.library").warning("of concern")
    assert "of concern" in caplog.text
