"""A whole iteration is at least 1.4 × as fast as a plain script does it, and 1.8 × with bf16.

    python benchmarks/iteration.py --data-dir data

One iteration prunes a fifth of the weights that are left (l1, global), evaluates test and training data, trains an
epoch and evaluates both again: 4,096 training and 1,024 test images of Fashion-MNIST at batch 64. Prunebench's side
is `prune` itself, records included. The plain script transforms images one by one with PIL in a DataLoader of two
workers, keeps the masks of `torch.nn.utils.prune` in place and makes the same optimizer as its constructor comes; it
computes in fp32 in both comparisons.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial

import torch
from torch import nn
from torch.nn.utils import prune as torch_prune
from torch.utils.data import DataLoader, Subset
from torchvision import transforms
from torchvision.datasets import FashionMNIST

from pairing import Claim, alternate, options, ratios, report
from prunebench import RunConfig, prune
from prunebench.models.architecture import models

SIZES = {"resnet18": 32, "alexnet": 64}
TRAIN, TEST, BATCH, FRACTION, LR = 4096, 1024, 64, 0.2, 3e-4


class PlainScript:
    """What people write."""

    def __init__(self, model: str, data_dir: str) -> None:
        steps = [
            transforms.Resize(SIZES[model]),
            transforms.Grayscale(3),
            transforms.ToTensor(),
            transforms.Normalize((0.286,) * 3, (0.353,) * 3),
        ]
        data = [FashionMNIST(data_dir, train, transforms.Compose(steps)) for train in (True, False)]
        self.train = DataLoader(Subset(data[0], range(TRAIN)), BATCH, shuffle=True, num_workers=2)
        self.test = DataLoader(Subset(data[1], range(TEST)), BATCH, num_workers=2)
        arguments = {"classes": 10, "image_size": SIZES[model], "adapt": True}
        builder = models.get(model).build
        self.model = builder(**{name: arguments[name] for name in builder.__annotations__ if name in arguments})

    def iteration(self) -> None:
        """Prune, evaluate, train an epoch, evaluate."""
        layers = [module for module in self.model.modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
        torch_prune.global_unstructured(
            [(layer, "weight") for layer in layers],
            pruning_method=torch_prune.L1Unstructured,
            amount=FRACTION,
        )
        self.accuracy(self.test)
        self.accuracy(self.train)
        self.model.train()
        optimizer = torch.optim.AdamW(self.model.parameters(), lr=LR, weight_decay=0.0)
        for images, labels in self.train:
            optimizer.zero_grad()
            nn.functional.cross_entropy(self.model(images), labels).backward()
            optimizer.step()
        self.accuracy(self.test)
        self.accuracy(self.train)

    def accuracy(self, loader: DataLoader[torch.Tensor]) -> float:
        """Share of correct answers."""
        self.model.eval()
        correct = 0
        with torch.no_grad():
            for images, labels in loader:
                correct += int((self.model(images).argmax(1) == labels).sum())
        return correct / len(loader.dataset)  # type: ignore[arg-type]


def prunebench_iterations(model: str, dtype: str, count: int, data_dir: str, threads: int) -> Callable[[], object]:
    """A function that computes the next iteration each time that it is called; the model is trained beforehand."""
    settings = RunConfig(
        model=model,
        dataset="fashion-mnist",
        data_dir=data_dir,
        image_size=SIZES[model],
        limit_train=TRAIN,
        limit_test=TEST,
        epochs=1,
        batch_size=BATCH,
        method="unstructured",
        fraction=FRACTION,
        iterations=count,
        finetune_batch_size=BATCH,
        finetune_optimizer="adamw",
        finetune_lr=LR,
        finetune_schedule="constant",
        dtype=dtype,
        device="cpu",
        threads=threads,
    )
    records = prune(settings)
    next(records)
    return partial(next, records)


def compare(model: str, rounds: int, data_dir: str, threads: int) -> list[Claim]:
    """fp32 and bf16 against the plain script in fp32."""
    torch.set_num_threads(threads)
    script = PlainScript(model, data_dir)
    script.accuracy(script.test)  # warm-up; prunebench trains an epoch
    contenders: dict[str, Callable[[], object]] = {
        dtype: prunebench_iterations(model, dtype, rounds, data_dir, threads) for dtype in ("fp32", "bf16")
    }
    seconds = alternate({**contenders, "plain": script.iteration}, rounds)
    return [
        Claim(
            f"{model} {SIZES[model]} px, plain script / prunebench {dtype}",
            ratios(seconds["plain"], seconds[dtype]),
            "≥",
            target,
            note=f"fastest {min(seconds['plain']):.1f} s and {min(seconds[dtype]):.1f} s",
        )
        for dtype, target in (("fp32", 1.4), ("bf16", 1.8))
    ]


def main() -> int:
    """Run it."""
    parser = options(__doc__ or "", rounds=15, models=tuple(SIZES))
    parser.add_argument("--data-dir", default="data", metavar="DIR", help="where FashionMNIST/raw is  [default: data]")
    given = parser.parse_args()
    claims = []
    for model in given.models:
        claims += compare(model, given.rounds, given.data_dir, given.threads)
    return report(claims, rounds=given.rounds, threads=given.threads)


if __name__ == "__main__":
    sys.exit(main())
