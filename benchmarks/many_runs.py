"""What is asked of a folder of 2,000 runs: `runs` answers in at most 1 s; `compare`, `plot`, `report` and
`study --dry-run` in 10 s; the page takes at most 6 MB.

    python benchmarks/many_runs.py

One tiny run of ResNet18 is computed; the others are copies of it under the keys of a study of five criteria, four
fractions and as many seeds as it takes, with scores that differ. Seconds are those on the clock from a fresh process's
start to its end, with files in the page cache, on all cores; beside them are those of the processors (user and system),
which other work on the machine counts nothing in.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from pairing import Claim, options, report
from prunebench.experiment.experiment import Experiment
from prunebench.records import Score, Scores, StepRecord
from prunebench.runs.files import MARK, digest
from prunebench.runs.manifest import encode
from prunebench.runs.run import Run
from prunebench.studies.file import read_study
from prunebench.studies.record import write_study
from prunebench.studies.study import experiments_of

NAME, ROOT = "many", "runs/many"
GROUPS, TESTED = 20, 1000
STUDY = """
[base]
model = "resnet18"
method = "structured"
epochs = 1
finetune_epochs = 1
iterations = 5
limit_train = 60
limit_test = 20
keep = "records"

[grid]
criterion = ["l1", "l2", "fpgm", "random", "bn-scale"]
fraction = [0.1, 0.2, 0.3, 0.4]
seed = {seeds}
"""

SECONDS = {
    "runs": (f"runs --runs-dir {ROOT}", 1.0),
    "compare": (f"compare --study {ROOT}", 10.0),
    "plot": (f"plot {ROOT}", 10.0),
    "report": (f"report {ROOT}", 10.0),
    "study --dry-run": (f"study {NAME}.toml --dry-run", 10.0),
}
"""What is asked → the command, and the seconds that it may take."""

PAGE, MEMORY, PLANNING = 6.0, 600.0, 200.0
"""Megabytes of the page, of any process, and of one that only plans."""


class Taken(NamedTuple):
    """Seconds on the clock and of the processors, and megabytes at the peak of a process."""

    wall: float
    cpu: float
    megabytes: float


def call(command: str) -> Taken:
    """Run a command of prunebench in a process of its own."""
    started = time.perf_counter()
    given = [sys.executable, "-m", "prunebench", *command.split()]
    process = subprocess.Popen(given, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    said = process.stderr.read() if process.stderr else b""
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command}: {said.decode(errors='replace')}")
    wall = time.perf_counter() - started
    return Taken(wall, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e6)


def make(count: int) -> None:
    """Make the study's file here, and the folder of its runs."""
    seeds = -(-count // GROUPS)
    Path(f"{NAME}.toml").write_text(STUDY.format(seeds=list(range(seeds))), encoding="utf-8")
    study = read_study(f"{NAME}.toml")
    planned = experiments_of(study)
    one = planned[0].settings
    command = f"prune --model resnet18 --method structured --criterion {one.criterion} --fraction {one.fraction}"
    lengths = "--epochs 1 --finetune-epochs 1 --iterations 5 --limit-train 60 --limit-test 20 --keep records"
    call(f"{command} {lengths} --seed 0 --threads 1 --quiet --runs-dir one")
    original = Run("one", planned[0].run.manifest)
    records, environment = original.records(), original.environment()
    for experiment in planned[:count]:
        copy(experiment, records, encode(msgspec.structs.replace(environment, seed=experiment.settings.seed)))
    write_study(study, planned)


def copy(experiment: Experiment, records: Sequence[StepRecord], environment: bytes) -> None:
    """Write the folder of a run as if it had been computed: records with other scores, under its own key."""
    run, settings = experiment.run, experiment.settings
    draw = random.Random(run.key)
    content = {"environment.json": environment}
    for record in records:
        left = (1 - settings.fraction) ** record.step
        correct = round(TESTED * (0.95 - 0.3 * (1 - left) + draw.uniform(-0.02, 0.02)))
        after = Scores({"top1": Score(float(correct), TESTED), "loss": Score(TESTED * draw.uniform(0.5, 1.0), TESTED)})
        content[f"steps/{record.step:03d}/record.json"] = encode(
            msgspec.structs.replace(
                record,
                run=run.key,
                criterion=settings.criterion,
                seed=settings.seed,
                fraction=settings.fraction,
                nominal_left=left,
                test_before=after,
                test_after=after,
            )
        )
    for name, data in content.items():
        place = run.folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    listed = msgspec.structs.replace(run.manifest, files={name: digest(run.folder / name) for name in content})
    (run.folder / MARK).write_bytes(encode(listed.sealed()))


def main() -> int:
    """Run it."""
    parser = options(__doc__ or "", rounds=3)
    parser.add_argument("--runs", type=int, default=2000, metavar="N", help="runs in the folder  [default: 2000]")
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        make(given.runs)
        found = {what: [call(command) for _ in range(given.rounds)] for what, (command, _) in SECONDS.items()}
        page = Path("report.html").stat().st_size / 1e6
        os.chdir("/")
    claims = []
    for what, (_, at_most) in SECONDS.items():
        note = f"{min(taken.cpu for taken in found[what]):.1f} s of the processors"
        claims.append(Claim(what, [taken.wall for taken in found[what]], "≤", at_most, "s", note=note))
    for what in SECONDS:
        most = PLANNING if what == "study --dry-run" else MEMORY
        claims.append(Claim(f"{what}: peak memory", [taken.megabytes for taken in found[what]], "≤", most, "MB"))
    return report([*claims, Claim("the page", [page], "≤", PAGE, "MB")], rounds=given.rounds, threads=1)


if __name__ == "__main__":
    sys.exit(main())
