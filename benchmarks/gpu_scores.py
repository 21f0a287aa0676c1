"""Scores on a device beside those on the CPU, of one trained model and the same calibration samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import msgspec
import torch

from gpu_cases import BASE, DENSE, few_layers
from prunebench import PrunebenchError, RunConfig
from prunebench.errors import ConfigError
from prunebench.experiment.resolve import pruning_run, resolve
from prunebench.experiment.setup import Setup, set_up
from prunebench.experiment.store import store_for
from prunebench.models.checkpoint import Checkpoint
from prunebench.models.input_spec import output_of
from prunebench.pruning.evidence.gather import evidence_for
from prunebench.pruning.methods.structured import groups_of
from prunebench.pruning.registry import criteria, methods, scores_units, solves
from prunebench.registry import parameters
from prunebench.seeding import generator
from prunebench.training.device import compute_in

BOUND = 1e-4
"""Of the largest score of a tensor, or of a group of units: by how much a score may be rounded otherwise."""

OTHERS = 1e-3
"""Of the weights of a tensor, where a criterion solves: the share that may go instead of others."""

UNLIKE = {"movement", "reader_errors"}
"""Evidence that is not compared: of a training, whose dropout is drawn on the device; and of one group at a time."""


@dataclass(frozen=True)
class Compared:
    """What was found of a criterion: the largest difference of a score in shares of its tensor's largest; whether a
    device finds the same twice; or why there are no scores."""

    what: str
    difference: float = 0.0
    repeats: bool = True
    error: str = ""
    bound: float = BOUND

    @property
    def wrong(self) -> list[str]:
        """What is not as it should be."""
        found = [self.error] if self.error else []
        found += [f"a score differs by {self.difference:.1e} of the largest"] if self.difference > self.bound else []
        return found if self.repeats else [*found, "a second time other scores"]


def scored() -> Iterator[tuple[str, str]]:
    """Methods and criteria of weights and of units whose scores are compared."""
    for name in criteria.names():
        for method in ("unstructured", "structured"):
            ranking = methods.get(method).fitting(criteria.get(name))
            if ranking is not None and not UNLIKE & parameters(ranking).keys():
                yield method, name


def compare_scores(model: str, method: str, name: str, dense: str, device: str, *, threads: int) -> Compared:
    """A criterion of weights or of units, of a model whose dense run lies in `dense`, deterministically."""
    settings = {**BASE, **DENSE[model], "method": method, "criterion": name, "runs_dir": dense}
    settings |= few_layers(model, name)
    what = f"{model}, {method}, {name}"
    try:
        return _compared(what, RunConfig(**settings, deterministic=True, threads=threads), device)
    except PrunebenchError as error:
        return Compared(what, error="" if isinstance(error, ConfigError) else str(error))
    except Exception as error:
        return Compared(what, error=f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")


def _compared(what: str, config: RunConfig, device: str) -> Compared:
    there = _scores(config, "cpu")
    here, again = _scores(config, device), _scores(config, device)
    repeats = all(torch.equal(here[name], again[name]) for name in here)
    if solves(resolve(config).ranking):
        apart = max(float(((here[n].cpu() == 0) != (there[n] == 0)).float().mean()) for n in there)
        return Compared(what, apart, repeats=repeats, bound=OTHERS)
    apart = max(_difference(here[name].cpu(), there[name]) for name in there)
    return Compared(what, apart, repeats=repeats)


def _scores(config: RunConfig, device: str) -> dict[str, torch.Tensor]:
    """The scores of weights by parameter, of units by group; of a criterion that solves, the weights that it leaves."""
    setup, state = at_step_0(config, device)
    request = replace(setup.request(1, state), rounds=1)
    if solves(request.criterion):
        setup.experiment.method.prune(state.model, {}, request)
        return {name: p.detach() for name, p in state.model.named_parameters() if p.ndim > 1}
    names = setup.experiment.method.reached(state.model, request)
    request = replace(request, evidence=evidence_for(state.model, request))
    draw = generator(request.seed, "prune")
    if scores_units(request.criterion):
        groups = groups_of(state.model, request)
        request.check_units(state.model, groups)
        return {group.name: request.score_units(state.model, group, draw) for group in groups}
    return {name: request.score(state.model, name, draw) for name in names}


def at_step_0(config: RunConfig, device: str) -> tuple[Setup, Checkpoint]:
    """The setup of a pruning run whose dense model is there, and that model on the device."""
    from prunebench.experiment.loop import _start

    experiment = resolve(msgspec.structs.replace(config, device=device))
    store = store_for(pruning_run(config), experiment)
    setup = set_up(experiment, _start(experiment, store))
    state = store.of(experiment.dense).checkpoint(0)
    setup.place(state.model)
    return setup, state


def _difference(here: torch.Tensor, there: torch.Tensor) -> float:
    largest = float(there.double().abs().max())
    return float((here.double() - there.double()).abs().max()) / (largest or 1.0)


def logits_apart(model: str, dense: str, device: str, threads: int, *, tf32: bool) -> float:
    """By which share of the largest logit the device's differ from the CPU's in fp32; with `tf32`, where products
    round their factors to TF32."""
    config = RunConfig(**BASE, **DENSE[model], method="none", runs_dir=dense, threads=threads)
    found = []
    for each in ("cpu", device):
        setup, state = at_step_0(config, each)
        inputs, _ = next(setup.task.batches("test", [torch.arange(100)], setup.device))
        compute_in("tf32" if tf32 and each == "cuda" else "fp32", each)
        with torch.inference_mode():
            found.append(output_of(state.model.eval(), inputs).float().cpu())
    return _difference(found[1], found[0])
