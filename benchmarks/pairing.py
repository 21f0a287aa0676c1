"""What the benchmarks share: timing in alternation, and a table that holds every figure against its target.

Times that are taken one after the other on a machine with other work on it compare the machine with itself. Here
each round times every contender once, in an order drawn anew, and what is reported is the median of the ratios
within rounds.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

VERSIONS = ("prunebench", "torch", "torchvision", "transformers", "scikit-learn", "numpy")


@dataclass(frozen=True)
class Claim:
    """A figure, the median of its samples, and the bound that it must keep: `sign` is "≤" or "≥"."""

    what: str
    samples: Sequence[float]
    sign: str
    target: float
    unit: str = "×"
    note: str = ""

    @property
    def figure(self) -> float:
        """The median."""
        return median(self.samples)

    @property
    def holds(self) -> bool:
        """Whether the figure keeps its bound."""
        return self.figure <= self.target if self.sign == "≤" else self.figure >= self.target


def options(about: str, *, rounds: int, models: Sequence[str] = ()) -> argparse.ArgumentParser:
    """A parser with --rounds, --threads and, where a benchmark has models, --models."""
    parser = argparse.ArgumentParser(description=about.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=rounds, metavar="N", help=f"rounds  [default: {rounds}]")
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="CPU threads  [default: 2]")
    if models:
        parser.add_argument("--models", nargs="+", choices=models, default=list(models), help="[default: all]")
    return parser


def alternate(contenders: Mapping[str, Callable[[], object]], rounds: int, seed: int = 0) -> dict[str, list[float]]:
    """Seconds of every contender in every round; each round runs all of them once, in random order."""
    draw = random.Random(seed)
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name in draw.sample(list(contenders), len(contenders)):
            started = time.perf_counter()
            contenders[name]()
            seconds[name].append(time.perf_counter() - started)
    return seconds


def ratios(over: Sequence[float], under: Sequence[float]) -> list[float]:
    """The ratio within each round."""
    return [a / b for a, b in zip(over, under, strict=True)]


def report(claims: Sequence[Claim], *, rounds: int, threads: int) -> int:
    """Print where and how it was measured, and a row per claim; return the exit status, 1 where a target is missed."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in VERSIONS)
    print(f"\n{_hardware()}, {threads} threads, {rounds} rounds, {platform.platform()}")
    print(f"Python {platform.python_version()}, {versions}\n")
    width = max(len(claim.what) for claim in claims)
    print(f"{'':{width}}  {'median':>9}  {'target':>7}  {'quartiles':>15}")
    for claim in claims:
        low, _, high = quantiles(claim.samples, n=4) if len(claim.samples) > 1 else [claim.figure] * 3
        figure, target = f"{claim.figure:.3f} {claim.unit}", f"{claim.sign} {claim.target:g}"
        spread = f"{low:.3f} – {high:.3f}"
        verdict = claim.note if claim.holds else f"{claim.note}  MISSED"
        print(f"{claim.what:{width}}  {figure:>9}  {target:>7}  {spread:>15}  {verdict}".rstrip())
    return 0 if all(claim.holds for claim in claims) else 1


def _hardware() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
