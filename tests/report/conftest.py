"""Runs of a tiny study, made of records without computing anything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from prunebench.comparison.family import Cell, Family, Fixed
from prunebench.records import LatencyRecord, Scores, TimingRecord
from prunebench.runs.index import identify
from prunebench.runs.run import Run
from prunebench.studies.record import StudyRecord

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
            none = {"nominal_left": 1.0, "nonzero_params": 10_100}
            left = none if config["method"] == "none" else {"nominal_left": (1 - config["fraction"]) ** step}
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


@pytest.fixture(scope="session")
def fixed(tmp_path_factory, pruned) -> Path:
    """A study that has fixed its comparisons: two criteria and a control with four seeds each; l1 is better."""
    root = tmp_path_factory.mktemp("fixed") / "runs"

    def keys(**settings: Any) -> tuple[str, ...]:
        more = 6 if settings.get("criterion") == "l1" else 0
        return tuple(pruned(root, seed=seed, more=more + seed % 2 * (more > 0), **settings).key for seed in range(4))

    entries = {"l1": keys(criterion="l1"), "random": keys(criterion="random")}
    cell = Cell(
        title="tiny on digits, structured, 0.1",
        entries=entries,
        against=("random",),
        compared=tuple(entries),
        controls=keys(method="none"),
    )
    family = Family(together="budget", cells=(cell,))
    about = {"runs": 12, "pairs": 1, "digest": family.digest, "text": "every criterion against random"}
    when = (Fixed(date="2026-01-02", finished=0, **about), Fixed(date="2026-01-03", finished=3, **about))
    every = tuple(key for of in (*entries.values(), cell.controls) for key in of)
    record = StudyRecord(
        name="small", source="[grid]\n", runs=every, file="small.toml", set=("lr=1",), family=family, fixed=when
    )
    (root / "study.json").write_bytes(msgspec.json.encode(record))
    return root
