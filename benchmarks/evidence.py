"""What criteria ask for costs at most 1.5 × a bare forward and backward pass over the same samples, or is told.

    python benchmarks/evidence.py

taylor, snip, activation and wanda have that bound; of the others the figure is what the plan says beforehand
(`pruning/evidence`). Evidence is gathered as a step does it, of a model with fresh weights; the bare side runs the same
batches through the model in the same mode and back. `--memory` adds what each takes at its peak beyond the model, in
fresh processes, over the weights' bytes.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from pairing import Claim, alternate, options, ratios, report
from prunebench.config import RunConfig
from prunebench.experiment.resolve import resolve
from prunebench.experiment.setup import Setup, set_up
from prunebench.models.checkpoint import Checkpoint
from prunebench.models.input_spec import output_of
from prunebench.pruning.evidence import GRAM
from prunebench.pruning.evidence.gather import BATCH, evidence_for
from prunebench.pruning.evidence.inputs import samples_together
from prunebench.pruning.registry import criteria, methods, needs

MODELS = ("resnet18", "bert")
BOUND = ("taylor", "snip", "activation", "wanda")
"""Criteria whose evidence is bounded."""


def asking(model: str) -> dict[str, str]:
    """Criteria that ask for evidence of a step's model as it is, and the method that each of them is tried with."""
    found = {}
    for name in criteria.names():
        for method in ("unstructured", "structured"):
            ranking = methods.get(method).fitting(criteria.get(name))
            if ranking is not None and of_model(ranking):
                found.setdefault(name, method)
    if model == "bert":  # what passes softmax and norms is no flow of sizes, and nothing behind GELU is zero
        found = {name: method for name, method in found.items() if name not in ("synflow", "apoz")}
    return found


def of_model(ranking: Callable[..., Any]) -> bool:
    """Whether a criterion asks for evidence that is gathered without training, and of all layers at once."""
    return bool(asked := needs(ranking)) and not {"movement", GRAM} & set(asked)


def made(model: str, criterion: str, samples: int) -> tuple[Setup, Checkpoint]:
    """A setup whose criterion it is, and a fresh model on its device."""
    about = {"method": asking(model)[criterion], "criterion": criterion, "calibration": samples, "device": "cpu"}
    setup = set_up(resolve(RunConfig(model=model, **about)))
    state = setup.fresh()
    setup.place(state.model)
    return setup, state


def bare(setup: Setup, model: nn.Module, samples: int) -> None:
    """Forward and backward over the samples, in evaluation mode."""
    indices = setup.task.targets.some("train", samples)
    model.eval()
    for inputs, targets in setup.task.batches("train", samples_together(setup.task, indices, BATCH), setup.device):
        setup.task.objective.loss(output_of(model, inputs), targets).backward()
    model.zero_grad(set_to_none=True)


def measured(model: str, criterion: str, samples: int, rounds: int) -> Claim:
    """How often a bare pass fits into gathering what a criterion asks for."""
    setup, state = made(model, criterion, samples)
    sides = {
        "evidence": partial(evidence_for, state.model, setup.request(1, state)),
        "bare": partial(bare, setup, state.model, samples),
    }
    sides["bare"]()
    found = alternate(sides, rounds)
    target = 1.5 if criterion in BOUND else float("inf")
    return Claim(f"{model} {criterion}", ratios(found["evidence"], found["bare"]), "≤", target)


def peak(model: str, side: str, samples: int) -> int:
    """Bytes that a side takes at its peak beyond what was there; to be run in a fresh process."""
    setup, state = made(model, "taylor" if side == "bare" else side, samples)
    request = setup.request(1, state)
    with torch.no_grad():
        output_of(state.model.eval(), next(setup.task.batches("train", [torch.arange(2)], setup.device))[0])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    _ = bare(setup, state.model, samples) if side == "bare" else evidence_for(state.model, request)
    return 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)


def memory(model: str, samples: int) -> list[Claim]:
    """What each criterion takes beyond a bare pass, over the weights."""
    _, state = made(model, "taylor", samples)
    weights = sum(parameter.nbytes for parameter in state.model.parameters())
    command = [sys.executable, __file__, "--samples", str(samples), "--peak", model]
    sides = {side: int(subprocess.check_output([*command, side])) for side in ("bare", *asking(model))}
    of_bare = sides.pop("bare")
    more = {side: (each - of_bare) / weights for side, each in sides.items()}
    return [Claim(f"{model} {side}, memory", [each], "≤", 2, "weights") for side, each in more.items()]


def main() -> int:
    """Measure every criterion on every model."""
    parser = options(__doc__ or "", rounds=5, models=MODELS)
    parser.add_argument("--samples", type=int, default=128, help="calibration samples  [default: 128]")
    parser.add_argument("--memory", action="store_true", help="peak memory instead of time")
    parser.add_argument("--peak", nargs=2, metavar=("MODEL", "SIDE"), help="bytes of one side, for --memory")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if given.peak:
        print(peak(*given.peak, given.samples))
        return 0
    if given.memory:
        claims = [claim for model in given.models for claim in memory(model, given.samples)]
    else:
        claims = [measured(m, name, given.samples, given.rounds) for m in given.models for name in asking(m)]
    return report(claims, rounds=given.rounds, threads=given.threads)


if __name__ == "__main__":
    sys.exit(main())
