"""Structured pruning of everybody's models: what is exact, what is reached, and what torch-pruning's own pruner does.

    python benchmarks/zoo.py --into zoo.jsonl
    python benchmarks/zoo.py --into zoo.jsonl --library torchvision --only 'resnet*' --limit 3
    python benchmarks/zoo.py --into zoo.jsonl --library hard --hard MODELS.py
    python benchmarks/zoo.py --into zoo.jsonl --table > table.md

Every model has a process of its own, with a limit of time and of memory, so that none stops the rest. A line of JSON is
written for each as soon as it is done, and what FILE has is not done again unless `--again` names its verdict. What is
built stands in zoo_models.py, what is done with it in zoo_trial.py, how it is checked in positions.py. timm is used
where it is installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import multiprocessing
import os
import sys
import time
import warnings
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import zoo_models
from zoo_table import table

SIDES = ("prunebench", "torch-pruning")
PRELOADED = ("torch", "torchvision", "torch_pruning", "timm", "transformers", "zoo_trial")
ENDLESS, TOO_LARGE, DIED = "does not end", "too large", "died"


@dataclass(frozen=True)
class Job:
    """One model by one tool, with its limits: seconds and GiB."""

    model: zoo_models.Model
    side: str
    hard: Path | None
    kinds: Path | None
    seconds: float
    memory: float


def work(job: Job, answer: Connection) -> None:
    """What a process does: try a model, and send what was found."""
    import torch

    import zoo_trial

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # of the models' own
    tries = {"prunebench": zoo_trial.pruned_by_prunebench, "torch-pruning": zoo_trial.pruned_by_torch_pruning}
    build = zoo_models.builder(job.model, job.hard, job.kinds)
    answer.send(tries[job.side](build, job.model.inputs).to_json())


def outcome(job: Job) -> dict[str, Any]:
    """Do a job in a process of its own, and end it at its limits."""
    context = multiprocessing.get_context("forkserver" if hasattr(os, "fork") else "spawn")
    if hasattr(os, "fork"):
        context.set_forkserver_preload([name for name in PRELOADED if importlib.util.find_spec(name)])
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(job, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        return _awaited(job, process, ours)
    finally:
        process.kill()
        process.join()


def _awaited(job: Job, process: Any, answer: Connection) -> dict[str, Any]:
    started = time.perf_counter()
    while not answer.poll(0.2):
        if (used := cpu_seconds(process.pid)) > job.seconds or time.perf_counter() - started > 4 * job.seconds:
            return {"verdict": ENDLESS, "why": f"within {job.seconds:g} s", "seconds": used}
        if memory_of(process.pid) > job.memory:
            return {"verdict": TOO_LARGE, "why": f"more than {job.memory:g} GiB"}
    try:
        found: dict[str, Any] = answer.recv()
    except EOFError:
        process.join()
        return {"verdict": DIED, "why": f"exit status {process.exitcode}"}
    return found


def cpu_seconds(process: int) -> float:
    """What a process has used; 0 where the system does not tell."""
    try:
        text = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return 0.0
    user, system = text.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def memory_of(process: int) -> float:
    """GiB that a process holds; 0 where the system does not tell."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 2**20


def read(file: Path) -> dict[tuple[str, str, str], dict[str, Any]]:
    """What a file has: (library, name, side) → the last line of it."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    rows = [json.loads(line) for line in lines if line.endswith("}")]
    return {(row["library"], row["name"], row["side"]): row for row in rows}


def run(given: argparse.Namespace) -> None:
    """Do what is asked for and not done yet."""
    for library in given.library:
        try:
            models = zoo_models.models(library, given.hard, given.kinds)
        except ImportError as error:
            print(f"{library} is passed over: {error}", file=sys.stderr)
            continue
        if not models:
            print(f"{library} is passed over: no file of models is given", file=sys.stderr)
        for model in zoo_models.selected(models, given.only, given.limit):
            for side in given.side:
                done = read(given.into).get((library, model.name, side))
                if done is None or done["verdict"] in given.again:
                    one(model, side, given)


def one(model: zoo_models.Model, side: str, given: argparse.Namespace) -> None:
    """Do one job, and write its line."""
    seconds = given.seconds if side == "prunebench" else given.rival_seconds
    started = time.perf_counter()
    found = outcome(Job(model, side, given.hard, given.kinds, seconds, given.memory))
    about = {k: v for k, v in asdict(model).items() if k in ("library", "family", "name")}
    row = {**about, "inputs": model.inputs.text(), "side": side, **found, "wall": time.perf_counter() - started}
    with given.into.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    print(f"{model.name} by {side}: {found['verdict']} {found.get('why', '')}"[:160], file=sys.stderr)


def options() -> argparse.ArgumentParser:
    """What can be asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--into", type=Path, default=Path("zoo.jsonl"), metavar="FILE", help="lines of JSON")
    parser.add_argument("--library", nargs="+", choices=zoo_models.LIBRARIES, default=list(zoo_models.LIBRARIES))
    parser.add_argument("--only", default="*", metavar="GLOB", help="names or families")
    parser.add_argument("--limit", type=int, metavar="N", help="so many models of each library at most")
    parser.add_argument("--side", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--hard", type=Path, metavar="FILE", help="MODELS: name → builder, of 3×8×8 images")
    parser.add_argument("--kinds", type=Path, metavar="FILE", help="M: name → (size or 'text', builder); V, L")
    parser.add_argument("--seconds", type=float, default=300, help="CPU time of a model  [default: 300]")
    parser.add_argument("--rival-seconds", type=float, default=60, help="the same of torch-pruning  [default: 60]")
    parser.add_argument("--memory", type=float, default=10, metavar="GIB", help="[default: 10]")
    parser.add_argument("--again", nargs="+", default=[], metavar="VERDICT", help="do again what came to this")
    parser.add_argument("--table", action="store_true", help="only print the table of what FILE has")
    return parser


def main() -> int:
    """Run it."""
    given = options().parse_args()
    if not given.table:
        run(given)
    print(table(list(read(given.into).values())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
