"""Proof: what is removed is what would be masked, on this very model, before anything is trained.

On a copy with fresh weights in double precision the pruned model equals the one in which the removed units are zero
where they are read, and so does what is pruned again of it; it takes a step of training, and is restored to the bit. A
group that fails is spared.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_map

from prunebench.pruning.units.copies import doubled
from prunebench.pruning.units.groups import Group, Spared, Units
from prunebench.pruning.units.modes import preserved
from prunebench.pruning.units.pace import Pace, quiet
from prunebench.pruning.units.removal import Doomed, Follows, Share, masked, remove
from prunebench.pruning.units.sifting import Sieve
from prunebench.pruning.units.trial import TOLERANCE, Trial, difference, told


@dataclass(frozen=True)
class Proof:
    """What was proved, and how.

    Attributes:
        groups: those whose removal is exact on this model.
        spared: groups that failed, with what went wrong.
        bindings: attributes that must follow, beside those of known layers.
        largest: the largest relative difference between pruned and masked outputs.
        passes: forward passes that it took, by samples.
        sound: the rest trains, comes back to the bit and is pruned again; else `problem` says why not.
    """

    groups: tuple[Group, ...]
    spared: tuple[Spared, ...]
    bindings: tuple[Follows, ...]
    largest: float
    passes: int
    seconds: float
    sound: bool
    problem: str = ""


def prove(
    model: nn.Module,
    inputs: Any,
    units: Units,
    *,
    fraction: Share = 0.3,
    build: Callable[[], nn.Module] | None = None,
    seed: int = 0,
    pace: Pace = quiet,
) -> Proof:
    """Prove that units can be removed.

    Args:
        inputs: as for `find`.
        fraction: the share of each group that is removed at once.
        build: builds the full model anew; else a copy of the model stands for it.
        pace: told how far it is.
    """
    started = time.perf_counter()
    trial = Trial(model, variants(inputs), fraction, seed, pace)
    sieve = Sieve(trial, units.reshapes)
    with preserved(model):
        fault = _start(trial)
        sieve.failed = dict.fromkeys((group.name for group in units.groups), fault)
        groups = () if fault else sieve.sift(units.groups)
        problem = trial.finish(sieve.of(groups), build) if groups else ""
    spared = tuple(Spared(tuple(g.modules), sieve.failed.get(g.name, "")) for g in units.groups if g not in groups)
    bindings = tuple(sieve.of(groups))
    seconds = time.perf_counter() - started
    return Proof(groups, spared, bindings, trial.largest, trial.passes, seconds, not problem, problem)


def _start(trial: Trial) -> str:
    """What is wrong with a trial before anything goes; empty where nothing is."""
    try:
        trial.copy()
    except Exception as error:  # of a model of anybody's
        return f"nothing can be proved, since the model does not run in double precision: {told(error)}"
    return ""


def check(
    model: nn.Module, inputs: Any, groups: tuple[Group, ...], doomed: Doomed, bindings: Sequence[Follows] = ()
) -> str | None:
    """What is wrong if just these units go, on fresh weights in double precision, or None: the proof of one step."""
    trial = Trial(model, variants(inputs), 0.0, 0)
    base, given = trial.copy(), trial.variants[0]
    with masked(base, groups, doomed, back=False):
        wanted = trial.run(base, given)
    try:
        remove(base, groups, doomed, bindings)
        apart = difference(trial.run(base, given), wanted)
    except Exception as error:  # of a model of anybody's
        return f"without them it fails: {told(error)}"
    return None if apart <= TOLERANCE else f"pruned and masked differ by {apart:.1g}"


def variants(inputs: Any) -> list[Any]:
    """The inputs as they are, and two samples of other values; text also shorter and padded."""
    generator = torch.Generator().manual_seed(1)

    def other(value: Any) -> Any:
        if not isinstance(value, torch.Tensor) or value.ndim == 0:
            return value
        if value.is_floating_point():
            return torch.randn(2, *value.shape[1:], generator=generator, dtype=torch.float64)
        return torch.cat([value[:1], value[:1].flip(-1)])

    found = [doubled(inputs), tree_map(other, inputs)]
    if isinstance(inputs, dict) and "attention_mask" in inputs and inputs["attention_mask"].ndim == 2:
        shorter = {
            k: v[:, :-2].clone() if isinstance(v, torch.Tensor) and v.ndim == 2 else v for k, v in found[1].items()
        }
        shorter["attention_mask"][1, -2:] = 0
        found.append(shorter)
    return found
