"""Runs of a tiny study, made of records without computing anything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from prunebench.records import LatencyRecord, Scores, TimingRecord
from prunebench.runs.index import identify
from prunebench.runs.run import Run

CORRECT = {"structured": (340, 331, 300), "unstructured": (340, 338, 336), "none": (340, 341, 344)}
"""Correct of 360 test samples, by step, for seed 0; every seed has two more than the one before."""


@pytest.fixture(scope="session")
def pruned(make_record, here) -> Callable[..., Run]:
    """Makes a pruning run of three steps, `more` test samples correct in each; keywords replace settings."""

    def make(
        root: Path, *, notes: tuple[str, ...] = (), steps: int = 3, changed: str = "", more: int = 0, **settings: Any
    ) -> Run:
        config = {
            **{"model": "tiny", "dataset": "digits", "weights": "none", "method": "structured", "criterion": "l2"},
            **{"fraction": 0.1, "iterations": 2, "seed": 0},
            **settings,
        }
        run = Run(root, identify("prune", config, config, {"model": changed} if changed else {}))
        of = {name: str(config[name]) for name in ("model", "dataset", "method", "criterion")}
        records = []
        for step in range(steps):
            correct = CORRECT[config["method"]][step] + 2 * config["seed"] + more
            left = {"nominal_left": 1.0, "nonzero_params": 10_100} if config["method"] == "none" else {}
            about = {"run": run.key, "seed": config["seed"], "notes": notes if step else ()}
            records.append(make_record(step, test_after=Scores.of(top1=(correct, 360)), **about, **of, **left))
        with run.working(msgspec.structs.replace(here, seed=config["seed"])):
            for record in records:
                run.commit(record, lambda folder: None)
        return run

    return make


@pytest.fixture(scope="session")
def timed(commit) -> Callable[..., Run]:
    """Makes a run that timed both steps of a pruning run; step 2 is twice as fast as the original."""

    def make(source: Run) -> Run:
        settings = {"backend": "eager", "dtype": "fp32", "batch_sizes": [4], "ci_width": 0.03, "time_budget": 5.0}
        config = {**source.manifest.config, **settings}
        run = Run(source.root, identify("efficiency", config, config, {}, source.key))
        commit(run, *(timing(step, ms) for step, ms in ((1, 8.0), (2, 5.0))))
        return run

    return make


def timing(step: int, ms: float) -> TimingRecord:
    """Ten rounds at batch size 4; the original takes 10 ms."""
    about: dict[str, Any] = {"run": None, "model": "tiny", "method": "structured", "step": step, "batch_size": 4}
    about |= {"nominal_left": 0.9**step, "device": "cpu", "dtype": "fp32", "threads": 1}
    samples = {"original": (10.0,) * 10, "masked": (11.0,) * 10, "pruned": (ms,) * 10}
    latencies = (LatencyRecord(variant=variant, samples_ms=times, **about) for variant, times in samples.items())
    return TimingRecord(step=step, latencies=tuple(latencies))


@pytest.fixture(scope="session")
def study(tmp_path_factory, pruned, timed) -> Path:
    """A folder of runs: two methods and a control with three seeds each, one of them timed."""
    root = tmp_path_factory.mktemp("study") / "runs"
    for method, criterion in (("structured", "l2"), ("unstructured", "l1"), ("none", "l1")):
        runs = [pruned(root, method=method, criterion=criterion, seed=seed) for seed in range(3)]
        if method == "structured":
            timed(runs[0])
    return root
