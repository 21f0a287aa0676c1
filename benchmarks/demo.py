"""`prunebench demo` takes at most 25 × one bare dense training epoch of its model, and the timing budget besides.

    python benchmarks/demo.py

The demo is run as a user runs it, in an empty folder. A bare epoch is forward, backward and the step of the same
optimizer on the same batches, prepared beforehand; its median is taken of epochs before and after the demo. What the
demo has spent on is told by its own records: seconds of training, of evaluations, of pruning; the rest is the timing,
with its models and backends, and imports.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median

import torch
from torch import nn

from finetune_epoch import bare_fit
from pairing import Claim, alternate, options, report
from prunebench.cli.commands.demo import STEPS
from prunebench.config import RunConfig
from prunebench.experiment.resolve import resolve
from prunebench.experiment.setup import set_up
from prunebench.latency.config import EfficiencyConfig
from prunebench.runs.index import all_runs
from prunebench.seeding import order
from prunebench.training.fit import chunks

EPOCHS = 25


def bare_epochs(rounds: int, limit: int | None) -> list[float]:
    """Seconds of bare dense epochs of the demo's model on its data."""
    more = {} if limit is None else {"limit_train": limit}
    setup = set_up(resolve(RunConfig(model="resnet18", **more)))
    model: nn.Module = setup.fresh().model
    setup.place(model)
    samples = len(setup.task.targets.some("train"))
    batches = chunks(order(samples, 0, "train", 0, 0), setup.recipe().batch_size)
    prepared = list(setup.task.batches("train", batches, setup.device))
    epoch = partial(bare_fit, model, setup.recipe(), [prepared])
    epoch()  # warm-up
    return alternate({"epoch": epoch}, rounds)["epoch"]


def demo(folder: str, limit: int | None) -> float:
    """Seconds of the demo; of its two commands on so many samples where there is a limit."""
    lines = ["demo"] if limit is None else [f"{STEPS[0]} --limit-train {limit}", STEPS[1]]
    started = time.perf_counter()
    for line in lines:
        command = [sys.executable, "-m", "prunebench", *shlex.split(line)]
        subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def spent(folder: str, whole: float) -> str:
    """What the demo spent its time on, in shares of the whole."""
    records = [
        record
        for run in all_runs(Path(folder) / "runs")
        if run.manifest.kind != "efficiency"
        for record in run.records()
        if record.step or run.manifest.kind == "train"  # else it is the dense run's
    ]
    phases = {
        "training": sum(record.seconds.finetune for record in records),
        "evaluation": sum(record.seconds.evaluate_before + record.seconds.evaluate_after for record in records),
        "pruning": sum(record.seconds.prune for record in records),
    }
    phases["timing and the rest"] = whole - sum(phases.values())
    return ", ".join(f"{name} {100 * seconds / whole:.0f} %" for name, seconds in phases.items())


def measured(rounds: int, limit: int | None) -> tuple[Sequence[float], float, str]:
    """Seconds of bare epochs, seconds of the demo, and what these were spent on."""
    epochs = bare_epochs(rounds, limit)
    with tempfile.TemporaryDirectory() as folder:
        whole = demo(folder, limit)
        phases = spent(folder, whole)
    return [*epochs, *bare_epochs(rounds, limit)], whole, phases


def main() -> int:
    """Run it."""
    parser = options(__doc__ or "", rounds=3)
    parser.add_argument("--limit", type=int, metavar="N", help="training samples, for a shorter trial  [default: all]")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    budget = EfficiencyConfig().time_budget
    epochs, whole, phases = measured(given.rounds, given.limit)
    epoch = median(epochs)
    timed = budget / epoch
    note = f"({whole:.0f} s; a bare epoch takes {epoch:.2f} s; {timed:.1f} of the bound are {budget:.0f} s for timing)"
    claim = Claim("the demo, in bare epochs", [whole / epoch], "≤", EPOCHS + timed, "×", note)
    status = report([claim], rounds=given.rounds, threads=given.threads)
    print(f"\nspent on: {phases}")
    return status


if __name__ == "__main__":
    sys.exit(main())
