"""A fine-tuning epoch takes at most 1.15 × a bare training loop, and an evaluation at most 1.10 × bare inference.

    python benchmarks/finetune_epoch.py

Prunebench's side is what its loop calls: `Bench.fit` and `evaluate` with the model's default settings of fine-tuning
and the masks of a model half of whose weights are pruned, on data that it prepares batch by batch. The bare side runs
forward, backward and the step of the same optimizer (forward alone, for the evaluation) on the same batches, prepared
beforehand, in the same memory layout, without masks, clipping, schedule or seeds. Both start an epoch with a new
optimizer.
"""

from __future__ import annotations

import copy
import sys
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from pairing import Claim, alternate, options, ratios, report
from prunebench.config import RunConfig
from prunebench.experiment.resolve import resolve
from prunebench.experiment.setup import Bench
from prunebench.models.checkpoint import Checkpoint
from prunebench.models.input_spec import output_of
from prunebench.seeding import order, seed_all
from prunebench.training.fit import Recipe, chunks, evaluate, make_optimizer

MODELS = ("resnet18", "resnet50", "alexnet", "vgg16", "bert")
Batches = list[tuple[Any, torch.Tensor]]


def half_pruned(bench: Bench) -> Checkpoint:
    """A fresh model without the half of its weights."""
    seed_all(0, "init")
    state = bench.start.make(bench.task)
    bench.place(state.model)
    return replace(state, masks=bench.method.prune(state.model, {}, bench.request(1)).masks)


def bare_epoch(model: nn.Module, recipe: Recipe, batches: Batches) -> None:
    """Forward, backward and the optimizer's step."""
    model.train()
    optimizer = make_optimizer(model, recipe)
    for inputs, labels in batches:
        loss = F.cross_entropy(output_of(model, inputs), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()


def bare_inference(model: nn.Module, batches: Batches) -> None:
    """Forward."""
    model.eval()
    with torch.inference_mode():
        for inputs, _ in batches:
            output_of(model, inputs)


def compare(model: str, samples: int, rounds: int, threads: int) -> list[Claim]:
    """Training and evaluation of one model."""
    settings = RunConfig(
        model=model,
        method="unstructured",
        fraction=0.5,
        limit_train=samples,
        device="cpu",
        threads=threads,
    )
    bench = Bench(resolve(settings), progress=lambda tick: None)
    state, recipe, device = half_pruned(bench), bench.finetuning(), bench.device
    bare = copy.deepcopy(state.model)
    shuffled = chunks(order(samples, 0, "finetune", 1, 0), recipe.batch_size)
    prepared = list(bench.task.batches("train", shuffled, device))
    everything = torch.arange(samples)
    in_order = list(bench.task.batches("train", everything.split(bench.config.batch_size), device))
    contenders = {
        "training": partial(bench.fit, state, recipe, "finetune", 1),
        "bare training": partial(bare_epoch, bare, recipe, prepared),
        "evaluation": partial(
            evaluate,
            state.model,
            bench.task,
            "train",
            everything,
            batch_size=bench.config.batch_size,
            device=device,
            dtype="fp32",
        ),
        "bare inference": partial(bare_inference, bare, in_order),
    }
    alternate(contenders, 1)  # warm-up
    seconds = alternate(contenders, rounds)
    notes = {name: f"{min(times):.2f} s" for name, times in seconds.items()}
    return [
        Claim(
            f"{model} {ours} / {theirs}",
            ratios(seconds[ours], seconds[theirs]),
            "≤",
            target,
            note=f"fastest {notes[ours]} and {notes[theirs]}",
        )
        for ours, theirs, target in (("training", "bare training", 1.15), ("evaluation", "bare inference", 1.10))
    ]


def main() -> int:
    """Run it."""
    parser = options(__doc__ or "", rounds=15, models=MODELS)
    parser.add_argument("--samples", type=int, default=384, help="training samples per epoch  [default: 384]")
    given = parser.parse_args()
    claims = []
    for model in given.models:
        claims += compare(model, given.samples, given.rounds, given.threads)
    return report(claims, rounds=given.rounds, threads=given.threads)


if __name__ == "__main__":
    sys.exit(main())
