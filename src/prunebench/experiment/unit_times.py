"""Unit times: milliseconds of a unit of each group, measured once per run on the unpruned model.

A measured time is no function of a run's settings: measured anew, it would have other units removed. So it is measured
before anything is trained, kept with the run (`Store.keep_unit_costs`), and read by every step, here or elsewhere.

What is timed is one sample (batch 1, the latency that `--until 'latency@1<=…'` bounds), in fp32, evaluation mode and
the run's memory layout: the whole model, and a copy without the first half of a group's units, one at least, in
alternation (`alternation`), for SECONDS a group and FIRST_LOOK rounds at least. The median of the paired differences,
divided by the units that were left out, is the cost of each unit of that group in every step. Weights do not matter;
fresh ones are timed.

A gain whose 95 % interval reaches down to zero is none that was told apart from noise. A unit of such a group costs
half that interval divided by the units left out, which the measurement could not have told from nothing, or the least
that was measured of any group where that is less: so units whose removal gains nothing are never dearer than such as
gain something.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import nn

from prunebench.alternation import FIRST_LOOK, alternate
from prunebench.errors import ConfigError
from prunebench.experiment.setup import Setup
from prunebench.experiment.store import Store
from prunebench.models.input_spec import output_of, to
from prunebench.models.taken_over import copied
from prunebench.pruning.methods.structured import groups_of
from prunebench.pruning.registry import Request
from prunebench.pruning.units.groups import Group
from prunebench.pruning.units.removable import without
from prunebench.records import UnitCost, UnitCosts
from prunebench.runs.digests import counted
from prunebench.statistics import MedianInterval, median_interval
from prunebench.training.device import memory_for, stopwatch_for
from prunebench.training.fit import Tick

log = logging.getLogger(__name__)

BATCH = 1
"""Samples of a timed pass."""

SECONDS = 1.0
"""For which a group is timed."""

NARROW = 0.002
"""Half the 95 % interval of a group's ratio of times, from which on it is not timed for longer."""


@dataclass(frozen=True)
class Timed:
    """A group that was timed: how many units were left out, the milliseconds that this gains, and those of the whole
    model beside it."""

    group: Group
    removed: int
    gain: MedianInterval | None
    whole: tuple[float, ...] = ()

    @property
    def told(self) -> bool:
        """Whether the gain is above zero."""
        return self.gain is not None and self.gain.low > 0  # false for NaN


def unit_costs(setup: Setup, store: Store) -> UnitCosts | None:
    """What units cost where they are ranked by latency: what was kept, else what is measured now, and kept.

    Raises:
        ConfigError: no group's gain is above noise.
        RunError: what was kept is damaged.
        Stopped: it was asked for.
    """
    if setup.experiment.settings.by != "latency":
        return None
    if (kept := store.unit_costs()) is not None:
        return kept
    found = _measured(setup)
    store.keep_unit_costs(found)
    for line in lines(found):
        log.info("%s", line)
    return found


def lines(costs: UnitCosts) -> Iterator[str]:
    """What units cost, and where that was measured, in a few words each."""
    where = f"on {costs.hardware} ({costs.device}, {counted(costs.threads, 'thread')})"
    each = ", ".join(f"{group.group} {'' if group.told else '<'}{group.ms:.2g}" for group in costs.groups)
    yield (
        f"units are ranked by score per millisecond, measured once, {where}, at batch {costs.batch_size}, where a pass "
        f"takes {costs.pass_ms:.3g} ms; milliseconds a unit: {each}"
    )
    if vain := [group.group for group in costs.groups if not group.told]:
        yield (
            f"of {len(vain)} of {len(costs.groups)} groups fewer units gain no time above noise: they count as costing "
            f"what noise hides (<), or the least of any other group"
        )


def _measured(setup: Setup) -> UnitCosts:
    model, request = setup.fresh().model, setup.request(1)
    setup.place(model)
    model.eval()
    groups = groups_of(model, request)
    log.info("measuring what units cost, of %d groups, about %.0f s", len(groups), 1.3 * SECONDS * len(groups))
    timed = []
    with memory_for(BATCH, "--batch-size"):
        for i, group in enumerate(groups):
            setup.progress(Tick("timing units", 0, 0, 1, i, len(groups), None, "", 0.0))
            timed.append(_timed(setup, model, group, groups, request))
    environment = setup.environment("prune")
    machine = {name: getattr(environment, name) for name in ("device", "hardware", "threads")}
    if not any(each.told for each in timed):
        raise ConfigError(
            f"--by latency: without half of any layer's units a pass at batch {BATCH} gains no time above noise on "
            f"{machine['hardware']}. Give --by macs, or try again when nothing else runs here."
        )
    whole = median(ms for each in timed for ms in each.whole)
    return UnitCosts(**machine, batch_size=BATCH, pass_ms=whole, groups=tuple(_costs(timed)))


def _timed(setup: Setup, model: nn.Module, group: Group, groups: Sequence[Group], request: Request) -> Timed:
    count = min(max(1, group.units // 2), group.units - group.least)
    if count < 1:
        return Timed(group, 0, None)
    assert request.removable is not None
    doomed = {each.name: list(range(count)) if each is group else [] for each in groups}
    less = without(copied(model), setup.task.inputs, groups, request.removable, doomed)
    setup.place(less)  # what is cut may lie in memory otherwise
    batch = to(setup.task.inputs.example(BATCH), device=setup.device)
    found = alternate(
        {"whole": partial(_pass, model, batch), "less": partial(_pass, less, batch)},
        [("whole", "less")],
        seconds=SECONDS,
        ci_width=NARROW,
        seed=setup.experiment.settings.seed,
        at_least=FIRST_LOOK,
        stopwatch=stopwatch_for(setup.device),
        stop=setup.stop,
    ).samples_ms
    gain = median_interval([whole - other for whole, other in zip(found["whole"], found["less"], strict=True)])
    return Timed(group, count, gain, found["whole"])


def _pass(model: nn.Module, batch: Any) -> object:
    with torch.inference_mode():
        return output_of(model, batch)


def _costs(timed: Sequence[Timed]) -> Iterator[UnitCost]:
    """The costs of groups of which one at least gains something."""
    least = min(each.gain.median / each.removed for each in timed if each.told and each.gain is not None)
    for each in timed:
        gain, low, high = each.gain or (None, None, None)
        yield UnitCost(
            group=each.group.name,
            ms=_cost(each, least),
            units=each.group.units,
            removed=each.removed,
            gain_ms=gain,
            low_ms=low,
            high_ms=high,
            told=each.told,
        )


def _cost(timed: Timed, least: float) -> float:
    """Milliseconds of a unit; `least` is the least that was measured of any group."""
    if timed.gain is None:
        return least
    if timed.told:
        return timed.gain.median / timed.removed
    noise = (timed.gain.high - timed.gain.low) / 2 / timed.removed
    return min(least, noise) if noise > 0 else least
