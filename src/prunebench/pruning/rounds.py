"""Rounds: units are chosen part by part, and before each part all are scored anew without those of the parts before."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from prunebench.pruning.bounds import share_within
from prunebench.pruning.budgets import Ranked, ranked, unscored
from prunebench.pruning.registry import Request
from prunebench.pruning.unit_scores import is_weight

if TYPE_CHECKING:
    import torch
    from torch import nn

    from prunebench.pruning.units.groups import Group

Chosen = list[list[int]]
"""Units of every group that go, ascending."""


def in_rounds(model: nn.Module, groups: Sequence[Group], request: Request) -> tuple[Ranked, Chosen]:
    """The groups as they are ranked in the last round, and the units that go.

    What is left falls by the same factor in every round, and is in the end what one round would leave. Where it is
    bounded what that costs, the first round says towards which share of the units it falls, and the last one decides.

    Raises:
        ConfigError: the criterion cannot tell of these units, or a bound cannot be met.
    """
    from prunebench.pruning.evidence.gather import evidence_for

    counts, chosen = unscored(model, groups, request), [list[int]() for _ in groups]
    ranking, share = counts, None
    for number in range(1, request.rounds + 1):
        done, first, last = number / request.rounds, number == 1, number == request.rounds
        due = sum(counts.quota(pool, share, done) for pool in counts.pools)
        if due == sum(map(len, chosen)) and not first and not last:
            continue  # a part of less than a unit
        with _without(model, groups, chosen):
            told = replace(request, evidence=evidence_for(model, request))
            ranking = ranked(model, groups, told).without(chosen)
            if request.bounded and (first or last):
                share = share_within(model, ranking)
            chosen = ranking.chosen(share, done)
    return ranking, chosen


@contextlib.contextmanager
def _without(model: nn.Module, groups: Sequence[Group], gone: Chosen) -> Iterator[None]:
    """Within, the weights are zero that go with some units of each group."""
    import torch

    kept: dict[str, torch.Tensor] = {}
    parts = [(part, units) for group, units in zip(groups, gone, strict=True) for part in group.parts if units]
    try:
        with torch.no_grad():
            for part, units in parts:
                if is_weight(model, part.parameter):
                    weight = model.get_parameter(part.parameter)
                    kept.setdefault(part.parameter, weight.detach().clone())
                    rows = part.index[torch.isin(part.unit, torch.tensor(units))]
                    weight.index_fill_(part.dim, rows.to(weight.device), 0)
        yield
    finally:
        with torch.no_grad():
            for name, values in kept.items():
                model.get_parameter(name).copy_(values)
