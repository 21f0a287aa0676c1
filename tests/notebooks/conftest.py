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


@pytest.fixture(scope="session")
def made(make_record, here) -> Callable[..., Run]:
    """Makes a run in a folder; keywords replace settings. Seed 1 has two more correct in each, random ten fewer."""

    def make(root: Path, kind: str = "prune", notes: tuple[str, ...] = (), **given: Any) -> Run:
        config = {
            **{"model": "tiny", "dataset": "digits", "weights": "none", "method": "structured", "criterion": "l2"},
            **{"fraction": 0.1, "iterations": 2, "seed": 0, "lr": 0.01, "exclude": ["fc"]},
            **given,
        }
        source = None if kind != "prune" else "tiny-dense-0123456789"
        run = Run(root, identify(kind, config, config, {}, source))
        more = 2 * config["seed"] - 10 * (config["criterion"] == "random")
        about = {name: config[name] for name in ("model", "dataset", "method", "criterion", "seed")}
        with run.working(msgspec.structs.replace(here, seed=config["seed"])):
            for step in range(3 if kind == "prune" else 1):
                scores = Scores.of(top1=(340 - step + more * (step > 0), 360), loss=(90.0, 360))
                of = about | {"run": run.key, "notes": notes}
                run.commit(make_record(step, test_after=scores, **of), lambda folder: None)
        return run

    return make


@pytest.fixture(scope="session")
def timed(commit) -> Callable[[Run], Run]:
    """Makes a run that timed step 1 of a pruning run, which is twice as fast as the original."""

    def make(source: Run) -> Run:
        config = {**source.manifest.config, "backend": "eager"}
        run = Run(source.root, identify("efficiency", config, config, {}, source.key))
        about = {"run": source.key, "model": "tiny", "method": "structured", "step": 1, "nominal_left": 0.9}
        about |= {"batch_size": 4, "device": "cpu", "dtype": "fp32", "threads": 1}
        times = {"original": (8.0, 8.0, 8.0), "masked": (8.0, 8.0), "pruned": (4.0, 4.0, 4.0)}
        latencies = (LatencyRecord(variant=name, samples_ms=ms, **about) for name, ms in times.items())
        commit(run, TimingRecord(step=1, latencies=tuple(latencies)))
        return run

    return make


@pytest.fixture
def study(tmp_path, made) -> Path:
    """A folder of a training and of two criteria with two seeds each."""
    made(tmp_path, "train")
    for criterion in ("l2", "random"):
        for seed in (0, 1):
            made(tmp_path, criterion=criterion, seed=seed)
    return tmp_path
