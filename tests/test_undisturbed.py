"""A call of the library leaves the process as it was, whatever that had set: after it, at errors, between records."""

from __future__ import annotations

import logging
import os
import random
import signal
import warnings
from contextlib import suppress

import numpy as np
import pytest
import torch

from prunebench import EfficiencyConfig, load, prune, pruning_run, reevaluate, seek, time_run, time_untrained, train
from prunebench.errors import ModelError, Stopped
from prunebench.experiment.given import score_given
from prunebench.experiment.resolve import resolve
from prunebench.experiment.verify import verify
from prunebench.models import checkpoint
from prunebench.models.export import export
from prunebench.models.undisturbed import undisturbed

TIMING = EfficiencyConfig(batch_sizes=(1,), time_budget=0.1)
BACKENDS = torch.backends


def process():
    """What a process has once, that a caller would miss."""
    mask = os.umask(0o022)
    os.umask(mask)
    loggers = {
        name: (found.level, found.handlers, found.propagate)
        for name, found in logging.root.manager.loggerDict.items()
        if isinstance(found, logging.Logger) and name in ("prunebench", "transformers", "huggingface_hub", "torch")
    }
    return {
        "threads": torch.get_num_threads(),
        "deterministic": (torch.are_deterministic_algorithms_enabled(), torch.get_deterministic_debug_mode()),
        "filled": torch.utils.deterministic.fill_uninitialized_memory,
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "gradients": (torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu")),
        "precision": (torch.get_float32_matmul_precision(), BACKENDS.cuda.matmul.allow_tf32),
        "cudnn": [getattr(BACKENDS.cudnn, name) for name in ("enabled", "benchmark", "deterministic", "allow_tf32")],
        "fused": (BACKENDS.mha.get_fastpath_enabled(), BACKENDS.mkldnn.enabled, BACKENDS.cuda.flash_sdp_enabled()),
        "random": (torch.get_rng_state().tolist(), str(np.random.get_state()), random.getstate()),
        "warnings": (list(warnings.filters), warnings.showwarning),
        "signals": {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)},
        "logging": (loggers, logging.root.level, list(logging.root.handlers), logging.root.manager.disable),
        "environment": dict(os.environ),
        "files": (mask, os.getcwd()),  # noqa: PTH109
        "numpy": np.geterr(),
    }


@pytest.fixture(autouse=True)
def _set_otherwise(monkeypatch):
    """Everything is set as it is usually not."""
    before = process()
    monkeypatch.setattr(BACKENDS.cudnn, "benchmark", True)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    torch.set_num_threads(2)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.set_default_dtype(torch.float64)
    torch.set_float32_matmul_precision("high")
    BACKENDS.mha.set_fastpath_enabled(False)
    torch.manual_seed(7)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="something of the caller's")
        yield
    torch.set_num_threads(before["threads"])
    torch.use_deterministic_algorithms(False)
    torch.set_default_dtype(before["dtype"])
    torch.set_float32_matmul_precision(before["precision"][0])
    BACKENDS.mha.set_fastpath_enabled(before["fused"][0])


@pytest.fixture
def config(tiny_config):
    """A run of two steps, computed with one thread."""
    return tiny_config(iterations=2, epochs=1, threads=1, deterministic=False)


@pytest.fixture
def run(config):
    """It, finished."""
    run = pruning_run(config)
    list(prune(config, run))
    return run


def test_what_is_yielded_between_is_computed_by_the_librarys_settings(config):
    before, threads = process(), []
    steps = prune(config, None, lambda tick: threads.append((torch.get_num_threads(), torch.is_grad_enabled())))
    for record in steps:
        assert process() == before
        assert record.params > 0
        torch.manual_seed(record.step)  # as a caller may do between them
        before = process()
    assert process() == before
    assert {count for count, _ in threads} == {1}


@undisturbed
def exported(run, config):
    """Write the last step to a file."""
    model = resolve(config).model
    state = checkpoint.load(run.checkpoint(2), model)
    before = process()
    difference = export(state, "safetensors", run.root / "net.safetensors", entry=model)
    assert process() == before
    return difference


@pytest.mark.parametrize(
    "call",
    [
        lambda config, run: train(config),
        lambda config, run: list(prune(config)),
        lambda config, run: list(seek(config, run)),
        lambda config, run: reevaluate(run, 1, config),
        lambda config, run: score_given(resolve(config)),
        lambda config, run: list(verify(run, resolve(config))),
        lambda config, run: list(time_run(run, config, TIMING)),
        lambda config, run: list(time_untrained(config, TIMING)),
        lambda config, run: load(run.folder, config.model),
        lambda config, run: exported(run, config),
    ],
    ids=["train", "prune", "seek", "reevaluate", "score", "verify", "time", "untrained", "load", "export"],
)
def test_a_call_leaves_the_process_as_it_was(call, config, run):
    before = process()
    assert call(config, run) is not None
    after = process()
    assert {name: after[name] for name in after if after[name] != before[name]} == {}


def test_what_was_set_in_the_new_way_alone_stays(config):
    conv, rnn = BACKENDS.cudnn.conv, BACKENDS.cudnn.rnn
    conv.fp32_precision = "ieee"
    before = conv.fp32_precision, rnn.fp32_precision
    try:
        assert train(config) is not None
        assert (conv.fp32_precision, rnn.fp32_precision) == before
    finally:
        BACKENDS.cudnn.allow_tf32 = True


def test_an_error_or_a_stop_leaves_it_as_well(config):
    before = process()
    for wrong in ({"image_size": 1, "model": lambda classes: torch.nn.Linear(5, 2)}, {"deterministic": True}):
        with pytest.raises((ModelError, Stopped)):
            list(prune(resolve_with(config, **wrong), None, None, lambda: True))
        assert process() == before
    steps = prune(config)
    next(steps)
    steps.close()
    assert process() == before


def resolve_with(config, **changes):
    values = {name: getattr(config, name) for name in config.__struct_fields__} | changes
    return resolve(type(config)(**values))


def test_results_are_the_same_whatever_the_caller_has_set(config):
    mine = list(prune(config))
    torch.set_default_dtype(torch.float32)
    torch.use_deterministic_algorithms(False)
    with torch.enable_grad():
        usual = list(prune(config))
    assert [record.test_after for record in mine] == [record.test_after for record in usual]
    assert [record.loss for record in mine] == [record.loss for record in usual]


def test_a_generator_has_its_own_state_from_step_to_step():
    seen = []

    @undisturbed
    def steps():
        """Two of them."""
        for _ in range(2):
            seen.append((torch.get_num_threads(), torch.rand(1).item()))
            torch.set_num_threads(1)
            yield
        raise KeyError

    torch.manual_seed(3)
    expected = torch.rand(2, dtype=torch.float32).tolist()
    torch.manual_seed(3)
    found = steps()
    for _ in found:
        torch.rand(5)  # the caller's draws are its own
        if len(seen) == 2:
            break
    assert [threads for threads, _ in seen] == [2, 1]
    assert [drawn for _, drawn in seen] == pytest.approx(expected)
    with suppress(KeyError):
        next(found)
    assert torch.get_num_threads() == 2
    assert (steps.__name__, steps.__doc__) == ("steps", "Two of them.")
