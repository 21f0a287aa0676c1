"""Fresh weights pruned by a schedule without training: what costs do not depend on, nobody has to train for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from prunebench.config import RunConfig
from prunebench.experiment.experiment import Experiment
from prunebench.experiment.resolve import resolve
from prunebench.experiment.setup import set_up
from prunebench.models.checkpoint import Checkpoint, weights_of
from prunebench.models.taken_over import copied
from prunebench.models.undisturbed import undisturbed
from prunebench.pruning.amounts import left
from prunebench.records import Summary

WALKED = 6
"""Steps that are pruned to tell the disk of a run of any number of steps, at most."""


@undisturbed
def untrained(
    config: RunConfig | Experiment, steps: Sequence[int] | None = None
) -> Iterator[tuple[int, float, Checkpoint]]:
    """Prune fresh weights by the schedule of a config, without training; yields (step, share left, copy of the state).

    What it costs to store and to run a pruned model does not depend on the values of its weights.

    Args:
        config: what to do.
        steps: which are wanted, ascending; all, unless given. What lies between is taken at once, in whole units.
    """
    setup = set_up(resolve(config))
    method, settings = setup.experiment.method, setup.experiment.settings
    state = setup.fresh()
    setup.place(state.model)
    at = 0
    for step in range(settings.iterations + 1) if steps is None else steps:
        if step > at:
            request = replace(setup.sketch(step), leap=step - at)
            state, at = replace(state, masks=method.prune(state.model, state.masks, request).masks), step
        yield step, left(settings, method, step), replace(state, model=copied(state.model))


def foretold(experiment: Experiment, *, pruned: bool) -> Summary:
    """What data, weights and model are taken for, and what pruning can reach, where the model is to be `pruned`."""
    return set_up(experiment).summary(pruned=pruned)


def stored_bytes(experiment: Experiment, last: int) -> list[int]:
    """Bytes that the checkpoint of each step up to `last` of a run takes, step 0 being the dense model.

    Of many steps a few are pruned, about as far apart in what is left; the others are told by what is left.
    """
    shares = np.array([left(experiment.settings, experiment.method, step) for step in range(last + 1)])
    sizes: dict[int, int] = {}
    for step, _, state in untrained(experiment, _some(shares)):
        weights = sum(tensor.nbytes for tensor in weights_of(state.model).values())
        sizes[step] = weights + sum(-(-mask.numel() // 8) for mask in state.masks.values())
        if state.masks and experiment.method.masks:  # masked models keep their size
            break
    between = np.interp(1 - shares, [1 - shares[step] for step in sizes], list(sizes.values()))
    return [round(size) for size in between.tolist()]


def _some(left: np.ndarray) -> list[int]:
    """Steps of a schedule, the first and the last among them, whose shares left are about evenly apart."""
    shares = np.linspace(left[0], left[-1], WALKED + 1) if len(left) > WALKED + 1 else left
    return sorted({int(np.abs(left - share).argmin()) for share in shares})
