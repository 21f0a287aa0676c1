"""Pruning AlexNet at 64 px takes at most 1.2 × the memory of the bare training loop.

    python benchmarks/memory.py

Each figure is the peak resident memory of a fresh process, imports included. One process runs `prune` on the
embedded digits: a dense epoch, then twice an iteration with pruning, fine-tuning and all evaluations. The other
imports torch and torchvision and repeats forward, backward and the step of the same optimizer on one batch of the
same shape.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys

from pairing import Claim, options, ratios, report

SIDES = ("prunebench", "bare")
SAMPLES, BATCH, SIZE = 512, 64, 64


def prunebench_side() -> None:
    """Train, then prune, evaluate, fine-tune and evaluate, twice."""
    from prunebench import RunConfig, prune

    settings = RunConfig(
        model="alexnet",
        image_size=SIZE,
        limit_train=SAMPLES,
        epochs=1,
        method="unstructured",
        fraction=0.5,
        iterations=2,
        device="cpu",
    )
    for _ in prune(settings):
        pass


def bare_side() -> None:
    """The same network, adapted to 64 px as prunebench does it, the same optimizer, the same number of steps."""
    import torch
    from torch import nn
    from torchvision.models import alexnet

    model = alexnet(num_classes=10)
    model.avgpool = nn.AdaptiveAvgPool2d(1)
    model.classifier[1] = nn.Linear(256, 4096)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, fused=True)
    images, labels = torch.randn(BATCH, 3, SIZE, SIZE), torch.randint(10, (BATCH,))
    for _ in range(3 * SAMPLES // BATCH):
        optimizer.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()


def peak_mib(side: str, threads: int) -> float:
    """Peak resident memory of a fresh process, MiB."""
    command = [sys.executable, __file__, "--side", side]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return float(done.stdout)


def main() -> int:
    """Run it."""
    parser = options(__doc__ or "", rounds=15)
    parser.add_argument("--side", choices=SIDES, help="run this side alone and print its peak")
    given = parser.parse_args()
    if given.side:
        {"prunebench": prunebench_side, "bare": bare_side}[given.side]()
        unit = 1024**2 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux KiB
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)
        return 0
    peaks: dict[str, list[float]] = {side: [] for side in SIDES}
    for _ in range(given.rounds):
        for side in SIDES:
            peaks[side].append(peak_mib(side, given.threads))
    note = " and ".join(f"{max(peaks[side]):.0f} MiB" for side in SIDES)
    claim = Claim(
        "peak memory, prunebench / bare loop", ratios(peaks["prunebench"], peaks["bare"]), "≤", 1.2, note=note
    )
    return report([claim], rounds=given.rounds, threads=given.threads)


if __name__ == "__main__":
    sys.exit(main())
