"""Sifting: which groups can be removed together, and what must follow when their units go."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from prunebench.pruning.units.groups import Group
from prunebench.pruning.units.removal import Binding, Follows
from prunebench.pruning.units.reshapes import Reshape
from prunebench.pruning.units.trial import Trial
from prunebench.pruning.units.trying import candidates, spoken, tried

TRIALS = 100
"""Removals that are tried, at most, before what has not been proved is spared."""

Rule = Callable[[Group], Sequence[Follows]]
"""What follows where units of a group go."""


@dataclass
class Sieve:
    """Groups are tried together, by themselves, and with those that were proved.

    Attributes:
        reshapes: the sizes that the model's own code asks for, which are numbers of units of a group.
        bindings: what must follow, of all groups.
        failed: names of groups that cannot go → what went wrong.
    """

    trial: Trial
    reshapes: Callable[[Group], tuple[Reshape, ...]]
    bindings: list[Follows] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    trials: int = 0
    all: tuple[Group, ...] = ()

    def sift(self, groups: tuple[Group, ...]) -> tuple[Group, ...]:
        """The groups that can be removed together; attributes that must follow are found on the way."""
        self.all = groups
        self.bindings = [b for group in groups for b in spoken(self.trial.model, group)]
        if not groups or self.fault(groups) is None:
            return groups
        self.bindings = []
        if self.fault(groups) is None:
            return groups
        alone = self._alone(groups)
        if not alone:
            return ()
        if (found := self._speaking(alone)) or self.fault(alone) is None:
            return found or alone
        following = {binding.group for binding in self.bindings}
        plain = self._halves(tuple(group for group in alone if group.name not in following))
        return self._with(plain, tuple(group for group in alone if group.name in following))

    def _alone(self, groups: tuple[Group, ...]) -> tuple[Group, ...]:
        """The groups that can be removed by themselves, with what must follow."""
        rules: dict[str, Rule | None] = {}
        faults: dict[str, str] = {}
        alone = []
        for group in groups:
            build = _build(group)
            if build not in rules:
                rules[build], faults[build] = self._rule(group)
            rule = rules[build]
            if rule is None:
                self.failed[group.name] = faults[build]
            else:
                self.bindings += rule(group)
                alone.append(group)
        return tuple(alone)

    def _with(self, proved: tuple[Group, ...], more: tuple[Group, ...]) -> tuple[Group, ...]:
        """The groups that were proved, and those of the others that can go with them, build by build."""
        for build in dict.fromkeys(_build(group) for group in more):
            mine = tuple(group for group in more if _build(group) == build)
            fault = self.fault((*proved, *mine))
            if fault is None:
                proved = (*proved, *mine)
            else:
                self.failed |= {group.name: f"it cannot go together with others: {fault}" for group in mine}
        if proved and (self.trial.pruned is None or self.trial.pruned_of != tuple(group.name for group in proved)):
            self.fault(proved)
        names = {group.name for group in proved}
        return tuple(group for group in self.all if group.name in names)

    def _speaking(self, groups: tuple[Group, ...]) -> tuple[Group, ...]:
        """These groups, where they can go together with what tells of their heads; else none."""
        known = {(b.module, b.attribute) for b in self.bindings if isinstance(b, Binding)}
        follows = {b.group for b in self.bindings if isinstance(b, Reshape)}  # which ask as if nothing were gone
        silent = [group for group in groups if group.name not in follows]
        more = [b for group in silent for b in spoken(self.trial.model, group) if (b.module, b.attribute) not in known]
        self.bindings += more
        if more and self.fault(groups) is None:
            return groups
        self.bindings = [b for b in self.bindings if b not in more]
        return ()

    def _rule(self, group: Group) -> tuple[Rule | None, str]:
        """What must follow for groups of this build, or None if nothing will do; what failed without.

        Attributes that tell a size; else the sizes that the model's own code asks for.
        """
        first = self.trial.variants[:1]
        fault = self.fault((group,), first, ())
        if fault is None:
            return lambda group: (), ""
        if self.trials > TRIALS:
            return None, f"nothing that was tried in {TRIALS} trials was right"
        read = self.trial.read()
        choice = tried(
            candidates(self.trial.model, group, read), lambda some: self.fault((group,), first, some) is None
        )
        if choice is not None:
            roles = {_role(b) for b in choice}
            return lambda group: [b for b in candidates(self.trial.model, group, read) if _role(b) in roles], fault
        sizes = self.reshapes(group)
        if sizes and self.fault((group,), first, sizes) is None:
            return self.reshapes, fault
        return None, fault

    def _halves(self, groups: tuple[Group, ...]) -> tuple[Group, ...]:
        """The groups without those that fail, found by halving."""
        if not groups:
            return ()
        fault = self.fault(groups)
        if fault is None:
            return groups
        if len(groups) == 1:
            self.failed[groups[0].name] = fault
            return ()
        middle = len(groups) // 2
        left, right = self._halves(groups[:middle]), self._halves(groups[middle:])
        both = left + right
        if self.fault(both) is None:
            return both
        more, less = (left, right) if len(left) >= len(right) else (right, left)
        self.failed |= {group.name: "it cannot go together with others" for group in less}
        return more

    def of(self, groups: Sequence[Group]) -> list[Follows]:
        """What must follow where units of these groups go."""
        names = {group.name for group in groups}
        return [b for b in self.bindings if b.group in names]

    def fault(
        self,
        groups: tuple[Group, ...],
        variants: Sequence[Any] | None = None,
        bindings: Sequence[Follows] | None = None,
    ) -> str | None:
        """What is wrong if units of these groups go, with all inputs unless others are named, or None."""
        self.trials += 1
        bindings = self.of(groups) if bindings is None else bindings
        return self.trial.fault(groups, self.trial.variants if variants is None else variants, bindings)


def _build(group: Group) -> str:
    """What groups of repeated blocks have in common."""
    return re.sub(r"\d+", "#", f"{group.name} {sorted({(p.parameter, p.dim) for p in group.parts})}")


def _role(binding: Binding) -> str:
    return re.sub(r"\d+", "#", f"{binding.module} {binding.attribute} {binding.parameter} {binding.dim}")
