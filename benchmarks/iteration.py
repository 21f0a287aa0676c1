"""A whole iteration is at least 2.2 × as fast as a plain script does it; with bf16 2.6 ×, and 3.2 × on a CPU with AMX.

    python benchmarks/iteration.py --data-dir data

One iteration prunes a fifth of the weights that are left (l1, global), evaluates test and training data, trains an
epoch at batch 64 and evaluates both again. ResNet18 at 32 px and AlexNet at 64 px: 4,096 training and 1,024 test images
of Fashion-MNIST. ResNet50 at 96 px: 256 and 64 JPEG files that the benchmark makes. BERT-mini: the 4,000 and 1,000
made-up reviews. Prunebench's side is `prune` itself, records included, and what is read from files is kept after the
first pass, as it is by default. The plain side is `plain_scripts.py`: a DataLoader, of two workers for images, the
masks of `torch.nn.utils.prune` and the optimizer as its constructor comes; it computes in fp32 in all comparisons.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from pairing import Claim, alternate, options, ratios, report
from plain_scripts import BATCH, FRACTION, LR, PlainScript, of_fashion, of_folder, of_reviews, write_jpegs
from prunebench import RunConfig, prune

FASHION, JPEGS = (4096, 1024), (256, 64)
SIZES = {"resnet18": 32, "alexnet": 64, "resnet50": 96}
AMX = torch.cpu._is_amx_tile_supported()


@dataclass(frozen=True)
class Case:
    """What one model is compared on: what prunebench is told, a maker of the plain script, and bounds by dtype."""

    what: str
    settings: dict[str, Any]
    plain: Callable[[], PlainScript]
    bounds: dict[str, float]


def case_of(model: str, data_dir: str, jpegs: str) -> Case:
    """The case of a model."""
    if model == "bert":
        return Case("reviews", {"dataset": "reviews"}, partial(of_reviews, model), {"fp32": 1.0})
    size = SIZES[model]
    if model == "resnet50":
        about = {"dataset": "image-folder", "data_dir": jpegs, "image_size": size, "resize": "crop"}
        return Case(f"{size} px, JPEG files", about, partial(of_folder, model, size, jpegs), {"fp32": 1.0})
    train, test = FASHION
    about = {"dataset": "fashion-mnist", "data_dir": data_dir, "limit_train": train, "limit_test": test}
    plain = partial(of_fashion, model, size, FASHION, data_dir)
    return Case(f"{size} px", about | {"image_size": size}, plain, {"fp32": 2.2, "bf16": 3.2 if AMX else 2.6})


def prunebench_iterations(
    model: str, dtype: str, count: int, threads: int, about: dict[str, Any]
) -> Callable[[], object]:
    """A function that computes the next iteration each time that it is called; the model is trained beforehand."""
    settings = RunConfig(
        model=model,
        epochs=1,
        batch_size=BATCH,
        method="unstructured",
        fraction=FRACTION,
        iterations=count,
        finetune_batch_size=BATCH,
        finetune_optimizer="adamw",
        finetune_lr=LR,
        finetune_schedule="constant",
        finetune_weight_decay=0.0,
        finetune_clip_norm=0.0,
        dtype=dtype,
        device="cpu",
        threads=threads,
        **about,
    )
    records = prune(settings)
    next(records)
    return partial(next, records)


def compare(model: str, rounds: int, threads: int, case: Case) -> list[Claim]:
    """Prunebench in each dtype against the plain script in fp32."""
    torch.set_num_threads(threads)
    script = case.plain()
    script.accuracy(script.test)  # warm-up; prunebench trains an epoch
    contenders = {dtype: prunebench_iterations(model, dtype, rounds, threads, case.settings) for dtype in case.bounds}
    seconds = alternate({**contenders, "plain": script.iteration}, rounds)
    return [
        Claim(
            f"{model} {case.what}, plain script / prunebench {dtype}",
            ratios(seconds["plain"], seconds[dtype]),
            "≥",
            bound,
            note=f"fastest {min(seconds['plain']):.1f} s and {min(seconds[dtype]):.1f} s",
        )
        for dtype, bound in case.bounds.items()
    ]


def main() -> int:
    """Run it."""
    parser = options(__doc__ or "", rounds=15, models=(*SIZES, "bert"))
    parser.add_argument("--data-dir", default="data", metavar="DIR", help="where FashionMNIST/raw is  [default: data]")
    given = parser.parse_args()
    claims = []
    with tempfile.TemporaryDirectory() as folder:
        if "resnet50" in given.models:
            write_jpegs(Path(folder), JPEGS)
        for model in given.models:
            claims += compare(model, given.rounds, given.threads, case_of(model, given.data_dir, folder))
    print(f"PyTorch computes with {torch.backends.cpu.get_cpu_capability()}, {'with' if AMX else 'without'} AMX")
    return report(claims, rounds=given.rounds, threads=given.threads)


if __name__ == "__main__":
    sys.exit(main())
