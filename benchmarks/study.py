"""A study of 200 runs of about a second each keeps both cores at work: at least 90 % of its time lies within runs.

    python benchmarks/study.py

Runs of ResNet18 on a few digits, of five criteria, four fractions and ten seeds, and the dense runs that they start
from, are done by two processes of one thread each. What is measured is the time within runs over that of both
processes, from reading the study's file to its last run: PyTorch's import, planning and waiting are the rest. Other
work on the machine makes both longer, and the share no smaller. Beside it stands the processor's time over that of two
cores, which is the same on an idle machine.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from pairing import Claim, options, report
from prunebench.studies.executors import Options, executors
from prunebench.studies.file import read_study
from prunebench.studies.jobs import jobs_of
from prunebench.studies.study import experiments_of

WORKERS, PER_SEED = 2, 20
STUDY = """
[base]
model = "resnet18"
method = "unstructured"
epochs = 1
finetune_epochs = 1
iterations = 1
limit_train = 60
limit_test = 20
keep = "records"

[grid]
seed = {seeds}
criterion = ["l1", "l2", "lamp", "random", "snip"]
fraction = [0.1, 0.2, 0.3, 0.4]
"""


def share(runs: int) -> tuple[float, float, float]:
    """Of a study's time in its processes the share within runs, and of two cores' that of the processor; and the mean
    seconds of a run."""
    Path("busy.toml").write_text(STUDY.format(seeds=list(range(-(-runs // PER_SEED)))), encoding="utf-8")
    started, before = time.perf_counter(), os.times()
    jobs = jobs_of(experiments_of(read_study("busy.toml"))[:runs])
    outcomes = list(executors.get("local").run(jobs, Options(jobs=WORKERS)))
    wall, after = time.perf_counter() - started, os.times()
    if failed := [outcome.error for outcome in outcomes if not outcome.fine]:
        raise SystemExit(failed[0])
    within = sum(outcome.seconds for outcome in outcomes)
    spent = sum(after[:4]) - sum(before[:4])  # of this process and of those that have ended
    return within / (WORKERS * wall), spent / (WORKERS * wall), within / len(outcomes)


def main() -> int:
    """Run it."""
    parser = options(__doc__ or "", rounds=1)
    parser.add_argument("--runs", type=int, default=200, metavar="N", help="pruning runs  [default: 200]")
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    found = []
    for _ in range(given.rounds):
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            found.append(share(given.runs))
            os.chdir("/")
    within, spent, seconds = zip(*found, strict=True)
    note = f"(processor {100 * max(spent):.0f} % of {WORKERS} cores; {sum(seconds) / len(seconds):.2f} s a run)"
    claim = Claim("within runs, of the time of both processes", [100 * each for each in within], "≥", 90, "%", note)
    return report([claim], rounds=given.rounds, threads=1)


if __name__ == "__main__":
    sys.exit(main())
