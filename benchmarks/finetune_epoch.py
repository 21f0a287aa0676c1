"""A fine-tuning epoch takes at most 1.04 × a bare training loop, and an evaluation at most 1.02 × bare inference.

    python benchmarks/finetune_epoch.py

Prunebench's side is what its loop calls: `Setup.fit` and `evaluate` with the model's default settings of fine-tuning
and the masks of a model half of whose weights are pruned, on bundled data that it prepares batch by batch. Training is
that of a step of a run on a disk: fitted for an epoch, and evaluated on training and test data while a thread writes
the checkpoint; it ends when that is on the disk under its name, and the run's lock is given back. The bare side runs
forward, backward and the step of the same optimizer (of VGG16 it clips gradients, as its recipe does), and then forward
on the same data; on the same batches, prepared beforehand, in the same memory layout, without masks, schedule, seeds or
files. On both sides the optimizer is new.
"""

from __future__ import annotations

import copy
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec
import torch
from torch import nn
from torch.nn import functional as F

from pairing import Claim, alternate, options, ratios, report
from prunebench.config import RunConfig
from prunebench.experiment.resolve import resolve
from prunebench.experiment.setup import Setup, set_up
from prunebench.experiment.store import Disk
from prunebench.models.checkpoint import Checkpoint
from prunebench.models.input_spec import output_of
from prunebench.records import Environment
from prunebench.seeding import order
from prunebench.training.fit import chunks, evaluate
from prunebench.training.optimizers import Recipe, make_optimizer
from prunebench.training.state import StepState

MODELS = ("resnet18", "resnet50", "alexnet", "vgg16", "bert")
Batches = list[tuple[Any, torch.Tensor]]


def half_pruned(setup: Setup) -> Checkpoint:
    """A fresh model without the half of its weights."""
    state = setup.fresh()
    setup.place(state.model)
    return replace(state, masks=setup.experiment.method.prune(state.model, {}, setup.request(1)).masks)


def kept_step(
    setup: Setup, store: Disk, here: Environment, state: StepState, evaluations: Sequence[Callable[[], object]]
) -> None:
    """A step as a run has it: begun, trained, evaluated, kept."""
    with store.working(here):
        setup.fit(state, store.save)
        for call in evaluations:
            call()


def bare_step(fit: Callable[[], object], evaluations: Sequence[Callable[[], object]]) -> None:
    """The same without all that."""
    for call in (fit, *evaluations):
        call()


def bare_fit(model: nn.Module, recipe: Recipe, epochs: Sequence[Batches]) -> None:
    """Forward, backward, clipping where the recipe clips, and the optimizer's step."""
    model.train()
    optimizer = make_optimizer(model, recipe)
    for batches in epochs:
        for inputs, labels in batches:
            loss = F.cross_entropy(output_of(model, inputs), labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            if recipe.clip_norm:
                nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
            optimizer.step()


def bare_inference(model: nn.Module, batches: Batches) -> None:
    """Forward."""
    model.eval()
    with torch.inference_mode():
        for inputs, _ in batches:
            output_of(model, inputs)


def waited(call: Callable[[], object], device: torch.device) -> None:
    """Make a call, and wait until the device has done it."""
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def calls_of(setup: Setup) -> dict[str, Callable[[], object]]:
    """What is timed, by name."""
    state, recipe, device = half_pruned(setup), setup.retraining(), setup.device
    store = Disk(setup.experiment.run, setup.experiment)
    batch_size = setup.experiment.settings.batch_size
    bare = copy.deepcopy(state.model)
    samples = len(setup.task.targets.some("train"))
    shuffled = [chunks(order(samples, 0, "finetune", 1, epoch), recipe.batch_size) for epoch in range(recipe.epochs)]
    prepared = [list(setup.task.batches("train", parts, device)) for parts in shuffled]
    about = {"batch_size": batch_size, "device": device, "dtype": "fp32"}
    ours, theirs = {}, {}
    for part in ("train", "test"):
        every = setup.task.targets.some(part)
        ours[part] = partial(evaluate, state.model, setup.task, part, every, **about)
        theirs[part] = partial(bare_inference, bare, list(setup.task.batches(part, every.split(batch_size), device)))
    begun = setup, store, setup.environment("prune"), StepState(1, state)
    return {
        "training": partial(kept_step, *begun, list(ours.values())),
        "bare training": partial(bare_step, partial(bare_fit, bare, recipe, prepared), list(theirs.values())),
        "evaluation": ours["train"],
        "bare inference": theirs["train"],
    }


def compare(model: str, samples: int | None, rounds: int, threads: int, device_name: str = "cpu") -> list[Claim]:
    """Training and evaluation of one model."""
    settings = RunConfig(
        model=model,
        method="unstructured",
        fraction=0.5,
        limit_train=samples,
        device=device_name,
        threads=threads,
    )
    with tempfile.TemporaryDirectory() as runs:
        setup = set_up(resolve(msgspec.structs.replace(settings, runs_dir=runs)))
        contenders = {name: partial(waited, call, setup.device) for name, call in calls_of(setup).items()}
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
        for ours, theirs, target in (("training", "bare training", 1.04), ("evaluation", "bare inference", 1.02))
    ]


def main() -> int:
    """Run it."""
    parser = options(__doc__ or "", rounds=15, models=MODELS)
    parser.add_argument("--samples", type=int, metavar="N", help="training samples  [default: all]")
    parser.add_argument("--device", default="cpu", help="where  [default: cpu]")
    given = parser.parse_args()
    claims = []
    for model in given.models:
        claims += compare(model, given.samples, given.rounds, given.threads, given.device)
    return report(claims, rounds=given.rounds, threads=given.threads)


if __name__ == "__main__":
    sys.exit(main())
