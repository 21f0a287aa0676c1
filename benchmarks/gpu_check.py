"""Check and time prunebench on a GPU, and write one JSON of every check and figure.

    make gpu-check
    python benchmarks/gpu_check.py --parts scores times --device cuda -o gpu.json

runs     small runs of every method, criterion, scope, pattern and way of retraining come to the numbers of the CPU's,
         and masked weights are zero
repeat   deterministic runs are the same to the bit when repeated, and when killed and resumed
scores   every criterion scores as on the CPU, up to rounding
times    what pruned models gain, and a fine-tuning epoch beside a bare loop

With `--device cpu` all but what only GPUs have is rehearsed. Exit status: 1 where a check fails, 2 where there is no
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
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import torch

from gpu_cases import DENSE, Case, cases
from pairing import VERSIONS

Row = dict[str, Any]
SAMPLES = {"resnet18": 1437, "bert": 4000}
"""Of an epoch that is timed: all that the embedded data has."""


def checked(what: str, wrong: Sequence[str], **more: Any) -> Row:
    """A check, what is wrong where something is, and figures beside it."""
    return {"what": what, "holds": not wrong, **({"wrong": list(wrong)} if wrong else {}), **more}


def runs(device: str, place: Path, given: argparse.Namespace) -> Iterator[Row]:
    """Runs here beside runs on the CPU, which other processes compute meanwhile."""
    from gpu_runs import outcome, problems, train_dense

    dense, spawn = place / "dense", multiprocessing.get_context("spawn")
    for model in DENSE:
        train_dense(dense, given.threads, model)
    chosen: list[Case] = cases()[:: given.stride]
    with ProcessPoolExecutor(given.processes, mp_context=spawn) as others:
        there = [others.submit(outcome, case, "cpu", dense, place, given.threads) for case in chosen]
        for case, other in zip(chosen, there, strict=True):
            mine = outcome(case, device, dense, place, given.threads)
            theirs = other.result()
            refused = {"refused": mine["refused"]} if "refused" in mine else {}
            seconds = {"seconds": round(mine["seconds"], 2), "seconds_cpu": round(theirs["seconds"], 2)}
            yield checked(case.name, problems(mine, theirs), **refused, **seconds)


def repeat(device: str, place: Path, given: argparse.Namespace) -> Iterator[Row]:
    """Deterministic runs."""
    from gpu_repeat import RUNS, repeated

    for i, (name, settings) in enumerate(list(RUNS.items())[:: given.stride]):
        started = time.perf_counter()
        try:
            wrong = repeated(settings, device, place / f"repeat-{i}")
        except Exception as error:
            wrong = [f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"]
        yield checked(f"repeated: {name}", wrong, seconds=round(time.perf_counter() - started, 2))


def scores(device: str, place: Path, given: argparse.Namespace) -> Iterator[Row]:
    """Scores here beside the CPU's."""
    from gpu_runs import train_dense
    from gpu_scores import compare_scores, logits_apart

    for model in DENSE:
        train_dense(place / "scores", given.threads, model)
        for tf32 in (False, True):
            apart = logits_apart(model, str(place / "scores"), device, given.threads, tf32=tf32)
            yield {"what": f"logits of {model}{' in TF32' if tf32 else ''}", "difference": apart}
        for found in compare_scores(model, str(place / "scores"), device, given.threads):
            yield checked(f"scores: {found.what}", found.wrong, difference=found.difference, repeats=found.repeats)


def timings(device: str, place: Path, given: argparse.Namespace) -> Iterator[Row]:
    """Latencies, and epochs."""
    from finetune_epoch import compare
    from gpu_times import linear_2_4, times

    for model in list(DENSE)[:: given.stride]:
        for claim in compare(model, SAMPLES[model] // given.stride, given.rounds, given.threads, device):
            low, _, high = quantiles(claim.samples, n=4)
            yield {"what": claim.what, "ratio": [median(claim.samples), low, high], "note": claim.note}
    yield from times(device, ("fp32", "bf16"), ("eager",), given.seconds, (1, 64))
    if device == "cuda":
        yield from linear_2_4(device)
        yield from times(device, ("fp32", "bf16"), ("compile",), given.seconds, (1, 64))


PARTS: dict[str, Callable[[str, Path, argparse.Namespace], Iterator[Row]]] = {
    "scores": scores,
    "repeat": repeat,
    "times": timings,
    "runs": runs,
}


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
    found.add_argument("--rounds", type=int, default=15, help="of an epoch  [default: 15]")
    found.add_argument("--seconds", type=float, default=6.0, help="of timing a model  [default: 6]")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it."""
    given = parser().parse_args(arguments)
    if given.device == "cuda" and not torch.cuda.is_available():
        print("There is no GPU that PyTorch can use here; --device cpu rehearses without one.", file=sys.stderr)
        return 2
    warnings.simplefilter("ignore")  # of libraries'
    found: Row = {**machine(given.device), "checks": []}
    started = time.perf_counter()
    for part in given.parts:
        begun = time.perf_counter()
        with tempfile.TemporaryDirectory() as place:
            for row in PARTS[part](given.device, Path(place), given):
                found["checks"].append({"part": part, **row})
                print(json.dumps(row, ensure_ascii=False), flush=True)
                found["seconds"] = round(time.perf_counter() - started, 1)
                given.output.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"{part}: {time.perf_counter() - begun:.0f} s", flush=True)
    wrong = [row for row in found["checks"] if not row.get("holds", "error" not in row)]
    print(f"{len(found['checks'])} checks and figures, {len(wrong)} wrong, {found['seconds']} s: {given.output}")
    for row in wrong:
        print(f"WRONG {row['what']}: {row.get('wrong') or row.get('error')}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
