"""Budgets of units: how many go of groups that are ranked together, and which these are."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from prunebench.pruning.registry import Request
from prunebench.pruning.shares import Scope, of_units
from prunebench.pruning.unit_scores import shares_scores, unit_scores
from prunebench.registry import call

if TYPE_CHECKING:
    from torch import nn

    from prunebench.pruning.units.groups import Group

ROUNDING = 1e-9
"""Of a share times a number of units, what arithmetic may add."""

Scores = Sequence[Sequence[float]]
"""Of every unit of every group."""


@dataclass(frozen=True)
class Pool:
    """Groups whose units are ranked together.

    Attributes:
        members: their places among all groups.
        fraction: of what is left, that goes in a step, where no target is given.
        own: whether that fraction is the pool's own, which goes before a target.
    """

    members: tuple[int, ...]
    fraction: float
    own: bool


@dataclass(frozen=True)
class Ranked:
    """Groups of a model as it is, scored, and what is asked of them.

    Attributes:
        original: group's name → units before anything was removed.
        scores: lowest go first.
        shares: scores that say how many go of each group of a pool; None: `scores` do.
    """

    groups: Sequence[Group]
    request: Request
    original: Mapping[str, int]
    pools: Sequence[Pool]
    scores: Scores
    shares: Scores | None = None

    def chosen(self, gone: float | None = None, done: float = 1.0) -> list[list[int]]:
        """For each group the units to remove, ascending; `gone` and `done` are as of `quota`."""
        found: list[list[int]] = [[] for _ in self.groups]
        for pool in self.pools:
            going = self.quota(pool, gone, done)
            taken = self._lowest(pool.members, going, self.scores if self.shares is None else self.shares)
            if self.shares is not None:
                alone = [self._lowest((i,), len(units), self.scores) for i, units in taken.items()]
                taken = {i: units for each in alone for i, units in each.items()}
            for i, units in taken.items():
                found[i] = sorted(units)
        return found

    def without(self, chosen: Sequence[Sequence[int]]) -> Ranked:
        """The same where some units of every group go before all others."""

        def lower(scores: Scores) -> Scores:
            return [
                [-math.inf if unit in units else score for unit, score in enumerate(each)]
                for each, units in zip(scores, map(set, chosen), strict=True)
            ]

        return replace(self, scores=lower(self.scores), shares=self.shares and lower(self.shares))

    def quota(self, pool: Pool, gone: float | None = None, done: float = 1.0) -> int:
        """How many units of a pool are to go.

        Args:
            gone: share of the original units that is to be gone; None: what the request asks for.
            done: share of the step's rounds that is done; what is left falls by the same factor in each.
        """
        units, quota = sum(self.groups[i].units for i in pool.members), self._quota(pool, gone)
        return quota if done == 1 else units - round(units * ((units - quota) / units) ** done)

    def _quota(self, pool: Pool, gone: float | None) -> int:
        request, members = self.request, [self.groups[i] for i in pool.members]
        multiple = multiple_of(members[0], request) if len(members) == 1 else 1
        units, before = sum(group.units for group in members), self.before(pool)
        gone = request.gone if gone is None else gone
        if gone is not None and not pool.own:
            left = max(1, before - round(gone * before))
            return max(0, units - min(units, -(-left // multiple) * multiple))
        if request.round_to == 1:
            return units - left_after(units, pool.fraction, request.leap, 1)
        return max(0, units - left_after(before, pool.fraction, request.step, multiple))

    def before(self, pool: Pool) -> int:
        """The original units of a pool."""
        return sum(self.original[self.groups[i].name] for i in pool.members)

    def _lowest(self, members: Sequence[int], quota: int, scores: Scores) -> dict[int, list[int]]:
        """As many units as the quota says, lowest first, and none of which a group keeps; a group of which no multiple
        of `round_to` would be left gets its highest back."""
        taken: dict[int, list[int]] = {i: [] for i in members}
        ranking = sorted((score, i, unit) for i in members for unit, score in enumerate(scores[i]))
        stay = {i: least_of(self.groups[i], self.original, self.request) for i in members}
        for _, i, unit in ranking:
            if quota > 0 and self.groups[i].units - len(taken[i]) > stay[i]:
                taken[i].append(unit)
                quota -= 1
        for i, units in taken.items():
            multiple, had = multiple_of(self.groups[i], self.request), self.groups[i].units
            left = min(had, -(-(had - len(units)) // multiple) * multiple)
            del units[had - left :]
        return taken


def ranked(model: nn.Module, groups: Sequence[Group], request: Request) -> Ranked:
    """Groups scored on the model as it is, and pooled as the request's scope says.

    Raises:
        ConfigError: the criterion cannot tell of these units, or the scope has no meaning for units.
    """
    scope = of_units(request.scope)
    shares = None if scope.shares is None else shares_scores(model, groups, request, scope)
    return replace(unscored(model, groups, request), scores=unit_scores(model, groups, request), shares=shares)


def unscored(model: nn.Module, groups: Sequence[Group], request: Request) -> Ranked:
    """The same of units that all score alike.

    Raises:
        ConfigError: the scope has no meaning for units.
    """
    whole = request.removable.groups if request.removable else groups
    return Ranked(
        groups,
        request,
        {group.name: group.units for group in whole},
        _pools(model, groups, request, of_units(request.scope)),
        [[0.0] * group.units for group in groups],
    )


def _pools(model: nn.Module, groups: Sequence[Group], request: Request, scope: Scope) -> list[Pool]:
    assert scope.pool is not None
    found: dict[tuple[Hashable, float, bool], list[int]] = {}
    for i, group in enumerate(groups):
        own = request.own_fraction(group.modules)
        label = call(scope.pool, {"group": group, "model": model})
        found.setdefault((label, request.fraction if own is None else own, own is not None), []).append(i)
    return [Pool(tuple(members), fraction, own) for (_, fraction, own), members in found.items()]


def least_of(group: Group, original: Mapping[str, int], request: Request) -> int:
    """How many units of a group stay whatever is asked for."""
    floor, multiple = math.ceil(request.floor * original[group.name] - ROUNDING), multiple_of(group, request)
    return max(group.least, -(-floor // multiple) * multiple)


def multiple_of(group: Group, request: Request) -> int:
    """What the number of units that stay is a multiple of; heads and experts are not rounded."""
    return 1 if group.kind in ("heads", "experts") else request.round_to


def left_after(units: int, fraction: float, step: int, multiple: int) -> int:
    """Units that are left of `units` after some steps, rounded up to a multiple; all where there are not so many.

    A function of the original number: rounding up what is left in each step would remove nothing, again and again.
    """
    left = units
    for _ in range(step):
        before, left = left, max(1, left - round(fraction * left))
        if left == before:  # and so it stays
            break
    return min(units, -(-left // multiple) * multiple)
