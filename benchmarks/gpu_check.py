"""Check and time prunebench on a GPU, and write one JSON of every check and figure.

    make gpu-check
    python benchmarks/gpu_check.py --parts scores times --device cuda -o gpu.json

runs     small runs of every method, criterion, scope, pattern and way of retraining come to the numbers of the CPU's,
         and masked weights are zero
repeat   deterministic runs are the same to the bit when repeated, and when killed and resumed
scores   every criterion scores as on the CPU, up to rounding
times    what pruned models gain, and a fine-tuning epoch beside a bare loop

It takes ten minutes at most: each part has its share of them, and what finds no time is told as left out. With
`--device cpu` all but what only GPUs have is rehearsed. Exit status: 1 where a check fails, 2 where there is no
such device.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import multiprocessing
import os
import platform
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import torch

from gpu_cases import DENSE, Case, cases
from pairing import VERSIONS

Row = dict[str, Any]
Item = tuple[str, Callable[[], Iterator[Row]]]
"""Something to check or to time: what it is called, and its rows."""

SAMPLES = {"resnet18": 1437, "bert": 4000}
"""Of an epoch that is timed: all that the embedded data has."""


def checked(what: str, wrong: Sequence[str], **more: Any) -> Row:
    """A check, what is wrong where something is, and figures beside it."""
    return {"what": what, "holds": not wrong, **({"wrong": list(wrong)} if wrong else {}), **more}


def runs(device: str, place: Path, given: argparse.Namespace) -> Iterator[Item]:
    """Runs here beside runs on the CPU, which other processes compute meanwhile."""
    from gpu_runs import outcome, problems, train_dense

    dense, spawn = place / "dense", multiprocessing.get_context("spawn")
    for model in DENSE:
        train_dense(dense, given.threads, model)
    chosen: list[Case] = mixed(cases())[:: given.stride]
    others = ProcessPoolExecutor(given.processes, mp_context=spawn)
    there = [others.submit(outcome, case, "cpu", dense, place, given.threads) for case in chosen]

    def compared(case: Case, other: Future[Row]) -> Iterator[Row]:
        mine = outcome(case, device, dense, place, given.threads)
        theirs = other.result()
        refused = {"refused": mine["refused"]} if "refused" in mine else {}
        seconds = {"seconds": round(mine["seconds"], 2), "seconds_cpu": round(theirs["seconds"], 2)}
        yield checked(case.name, problems(mine, theirs), **refused, **seconds)

    try:
        for case, other in zip(chosen, there, strict=True):
            yield case.name, partial(compared, case, other)
    finally:
        others.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():  # what is left out is not waited for
            process.terminate()


def mixed(found: Sequence[Case]) -> list[Case]:
    """The same in an order in which the first few are of every kind."""
    step = 7
    return [case for start in range(step) for case in found[start::step]]


def repeat(device: str, place: Path, given: argparse.Namespace) -> Iterator[Item]:
    """Deterministic runs."""
    from gpu_repeat import RUNS, repeated

    def compared(name: str, settings: Row, folder: Path) -> Iterator[Row]:
        started = time.perf_counter()
        try:
            wrong = repeated(settings, device, folder)
        except Exception as error:
            wrong = [f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"]
        yield checked(f"repeated: {name}", wrong, seconds=round(time.perf_counter() - started, 2))

    for i, (name, settings) in enumerate(list(RUNS.items())[:: given.stride]):
        yield f"repeated: {name}", partial(compared, name, settings, place / f"repeat-{i}")


def scores(device: str, place: Path, given: argparse.Namespace) -> Iterator[Item]:
    """Scores here beside the CPU's."""
    from gpu_runs import train_dense
    from gpu_scores import compare_scores, logits_apart, scored

    dense = str(place / "scores")

    def logits(model: str, tf32: bool) -> Iterator[Row]:
        apart = logits_apart(model, dense, device, given.threads, tf32=tf32)
        yield {"what": f"logits of {model}{' in TF32' if tf32 else ''}", "difference": apart}

    def compared(model: str, method: str, name: str) -> Iterator[Row]:
        found = compare_scores(model, method, name, dense, device, threads=given.threads)
        yield checked(f"scores: {found.what}", found.wrong, difference=found.difference, repeats=found.repeats)

    for model in DENSE:
        train_dense(place / "scores", given.threads, model)
        for tf32 in (False, True) if device == "cuda" else (False,):
            yield f"logits of {model}, TF32 {tf32}", partial(logits, model, tf32)
    for method, name in list(scored())[:: given.stride]:
        for model in DENSE:
            yield f"scores: {model}, {method}, {name}", partial(compared, model, method, name)


def timings(device: str, place: Path, given: argparse.Namespace) -> Iterator[Item]:
    """Latencies, and epochs."""
    from finetune_epoch import compare
    from gpu_times import COMPILED, TIMED, linear_2_4, times

    def epochs(model: str) -> Iterator[Row]:
        for claim in compare(model, SAMPLES[model] // given.stride, given.rounds, given.threads, device):
            low, _, high = quantiles(claim.samples, n=4)
            yield {"what": claim.what, "ratio": [median(claim.samples), low, high], "note": claim.note}

    how: Row = {"seconds": given.seconds, "sizes": (1, 64)}
    for model in list(DENSE)[:: given.stride]:
        yield f"epochs of {model}", partial(epochs, model)
    if device == "cuda":
        yield "linear layer as 2:4", partial(linear_2_4, device)
        for name, dtype in COMPILED:
            yield f"{name}, compile, {dtype}", partial(times, name, device, dtype, "compile", **how)
    for dtype in ("fp32", "bf16", "fp16", "tf32") if device == "cuda" else ("fp32", "bf16", "fp16"):
        for name in list(TIMED)[:: given.stride]:
            yield f"{name}, eager, {dtype}", partial(times, name, device, dtype, "eager", **how)


PARTS: dict[str, tuple[float, Callable[[str, Path, argparse.Namespace], Iterator[Item]]]] = {
    "scores": (120, scores),
    "repeat": (110, repeat),
    "times": (150, timings),
    "runs": (160, runs),
}
"""Seconds of each part, what it leaves going to those after it, and what it consists of. Nothing is begun when its time
is over, so that all comes to ten minutes with what was begun before."""


def within(items: Iterator[Item], deadline: float) -> Iterator[Row]:
    """The rows of a part's items; of those whose turn comes after the deadline, that they were left out."""
    for name, item in items:
        if time.perf_counter() < deadline:
            yield from item()
        else:
            yield {"what": name, "left_out": "for lack of time"}


def machine(device: str) -> Row:
    """Hardware, driver and versions."""
    from prunebench.runs.environment import cpu, environment

    name = torch.cuda.get_device_name() if device == "cuda" else cpu()
    found = environment(device=device, hardware=name, threads=torch.get_num_threads())
    versions = {name: importlib.metadata.version(name) for name in VERSIONS}
    more = {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()} if device == "cuda" else {}
    return {
        **{"device": device, "hardware": name, "cpu": cpu(), "cores": os.cpu_count(), "driver": found.driver},
        **{"python": platform.python_version(), "versions": versions, **more},
    }


def parser() -> argparse.ArgumentParser:
    """Options."""
    found = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("--device", default="cuda", choices=("cuda", "cpu"), help="what is checked  [default: cuda]")
    found.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="[default: all]")
    found.add_argument("--output", "-o", type=Path, default=Path("gpu.json"), help="[default: gpu.json]")
    found.add_argument("--stride", type=int, default=1, metavar="N", help="every Nth case alone  [default: 1]")
    cores = os.cpu_count() or 1
    found.add_argument("--processes", type=int, default=max(1, cores // 4), help="that compute on the CPU meanwhile")
    found.add_argument("--threads", type=int, default=max(1, min(3, cores // 2)), help="of each of them")
    found.add_argument("--rounds", type=int, default=9, help="of an epoch  [default: 9]")
    found.add_argument("--seconds", type=float, default=4.0, help="of timing a model  [default: 4]")
    found.add_argument(
        "--minutes", type=float, default=10.0, help="of all; what has no time is left out  [default: 10]"
    )
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it."""
    given = parser().parse_args(arguments)
    if given.device == "cuda" and not torch.cuda.is_available():
        print("There is no GPU that PyTorch can use here; --device cpu rehearses without one.", file=sys.stderr)
        return 2
    warnings.simplefilter("ignore")  # of libraries'
    found: Row = {**machine(given.device), "checks": []}
    started = deadline = time.perf_counter()
    for part in given.parts:
        begun = time.perf_counter()
        budget, items = PARTS[part]
        deadline += budget * given.minutes / 10
        with tempfile.TemporaryDirectory() as place:
            for row in within(items(given.device, Path(place), given), deadline):
                found["checks"].append({"part": part, **row})
                print(json.dumps(row, ensure_ascii=False), flush=True)
                found["seconds"] = round(time.perf_counter() - started, 1)
                given.output.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"{part}: {time.perf_counter() - begun:.0f} s", flush=True)
    wrong = [row for row in found["checks"] if not row.get("holds", "error" not in row)]
    out = sum("left_out" in row for row in found["checks"])
    done = len(found["checks"]) - out
    print(f"{done} checks and figures, {len(wrong)} wrong, {out} left out, {found['seconds']} s: {given.output}")
    for row in wrong:
        print(f"WRONG {row['what']}: {row.get('wrong') or row.get('error')}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
