"""Fresh weights pruned by a schedule without training: what costs do not depend on, nobody has to train for."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from prunebench.config import RunConfig
from prunebench.experiment.experiment import Experiment
from prunebench.experiment.resolve import resolve
from prunebench.experiment.setup import set_up
from prunebench.models.checkpoint import Checkpoint
from prunebench.models.layers import layer_records


def untrained(config: RunConfig | Experiment) -> Iterator[tuple[int, float, Checkpoint]]:
    """Prune fresh weights by the schedule of a config, without training; yields (step, share left, copy of the state).

    What it costs to store and to run a pruned model does not depend on the values of its weights.
    """
    setup = set_up(resolve(config))
    method, settings = setup.experiment.method, setup.experiment.settings
    state = setup.fresh()
    setup.place(state.model)
    sizes = {layer.name: layer.shape[0] for layer in layer_records(state.model, {}, (), {})}
    for step in range(settings.iterations + 1):
        if step > 0:
            pruned = method.prune(state.model, state.masks, setup.request(step, sizes))
            state = replace(state, masks=pruned.masks)
        yield step, method.left(settings.fraction, step), replace(state, model=copy.deepcopy(state.model))


def stored_bytes(experiment: Experiment, steps: int) -> list[int]:
    """Bytes that the checkpoint of each of the first `steps` steps of a run takes, step 0 being the dense model."""
    sizes: list[int] = []
    for _, _, state in islice(untrained(experiment), steps):
        weights = sum(tensor.nbytes for tensor in state.model.state_dict().values())
        sizes.append(weights + sum(mask.numel() for mask in state.masks.values()))
        if state.masks:  # masked models keep their size
            return sizes + [sizes[-1]] * (steps - len(sizes))
    return sizes
