"""Runs on two workers of a Ray cluster take about half as long as on one.

    python benchmarks/cluster.py

Eight runs of one thread each, ResNet18 on digits with seeds 0 to 7, trained and pruned in one step, at least a minute
each, on a cluster of one node with one CPU and then of two, on this machine. Workers are warm: each has done a run
that does not count. Both ways the runs must end with the same bits.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import ray
from ray.cluster_utils import Cluster

from pairing import Claim, options, report
from prunebench.experiment.experiment import Experiment
from prunebench.runs.files import digest
from prunebench.studies.executors import Options, executors
from prunebench.studies.file import read_study
from prunebench.studies.jobs import Outcome, jobs_of
from prunebench.studies.study import experiments_of

RUNS, SECONDS, FACTOR = 8, 60.0, 1.8

STUDY = """
[base]
model = "resnet18"
device = "cpu"
threads = 1
iterations = 1
finetune_epochs = {finetune}
epochs = {epochs}
limit_train = {samples}

[grid]
seed = {seeds}
"""


def planned(folder: Path, **about: object) -> list[Experiment]:
    """The runs of a study in a folder of their own."""
    folder.mkdir()
    path = folder / "runs.toml"
    path.write_text(STUDY.format(**about), encoding="utf-8")
    return experiments_of(read_study(path), str(folder))


def seconds(runs: Sequence[Experiment]) -> tuple[float, list[Outcome]]:
    """What all runs take on the cluster that this process is connected to."""
    started = time.perf_counter()
    outcomes = list(executors.get("ray").run(jobs_of(runs), Options()))
    assert all(outcome.fine for outcome in outcomes), outcomes
    return time.perf_counter() - started, outcomes


def weights(runs: Sequence[Experiment]) -> list[str]:
    """SHA-256 of the weights of every step."""
    return [digest(path) for each in runs for path in sorted(each.run.folder.rglob("*.safetensors"))]


def main() -> int:
    """Run it."""
    parser = options(__doc__ or "", rounds=1)
    parser.add_argument("--epochs", type=int, default=6, metavar="N", help="of training  [default: 6]")
    given = parser.parse_args()
    took, of_a_run, bits = {}, [], []
    with tempfile.TemporaryDirectory() as place:
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        for workers in (1, 2):
            cluster.add_node(num_cpus=1)
            ray.init(address=cluster.address, log_to_driver=False)
            folder = Path(place)
            warm = {"seeds": list(range(workers)), "epochs": 1, "samples": 100, "finetune": 1}
            seconds(planned(folder / f"warm-{workers}", **warm))
            whole = {"seeds": list(range(RUNS)), "epochs": given.epochs, "samples": 1437, "finetune": 1}
            runs = planned(folder / f"runs-{workers}", **whole)
            took[workers], outcomes = seconds(runs)
            of_a_run.append(sum(outcome.seconds for outcome in outcomes) / RUNS)
            bits.append(weights(runs))
            ray.shutdown()
        cluster.shutdown()
    assert bits[0] == bits[1], "the runs differ"
    note = (
        f"{took[1]:.0f} s on one worker, {took[2]:.0f} s on two; a run took {of_a_run[0]:.0f} s and {of_a_run[1]:.0f} s"
    )
    claims = [
        Claim("two workers, times as fast as one", [took[1] / took[2]], "≥", FACTOR, note=note),
        Claim("seconds of a run on one worker, mean", [of_a_run[0]], "≥", SECONDS, unit="s"),
    ]
    return report(claims, rounds=1, threads=1)


if __name__ == "__main__":
    sys.exit(main())
