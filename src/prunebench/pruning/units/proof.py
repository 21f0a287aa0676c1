"""Proof: what is removed is what would be masked, on this very model, before anything is trained.

On a copy with fresh weights in double precision the pruned model equals the one in which the removed units are zero
where they are read, and so does what is pruned again of it; it takes a step of training, and is restored to the bit. A
group that fails is spared.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_map

from prunebench.models.sizes import Sizes, restore
from prunebench.pruning.units.copies import doubles, fresh, hollow, settle, sharing
from prunebench.pruning.units.groups import Group, Spared, Units
from prunebench.pruning.units.modes import preserved, training
from prunebench.pruning.units.pace import Pace, quiet
from prunebench.pruning.units.record import call, tensors_of
from prunebench.pruning.units.removal import Binding, Doomed, Share, masked, remove, shapes_of, shares, sizes_of
from prunebench.pruning.units.reshapes import Reshape
from prunebench.pruning.units.trying import candidates, reads, spoken, tried

TOLERANCE = 1e-9
"""Relative difference in double precision."""

TRIALS = 100
"""Removals that are tried, at most, before what has not been proved is spared."""

USUAL = 30
"""Passes that a proof takes where nothing has to be tried."""

LARGE = 20_000_000
"""Models of more parameters are copied anew for each trial, instead of kept beside the copy that is pruned."""


Rule = Callable[[Group], Sequence[Binding | Reshape]]
"""What follows where units of a group go."""


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
    bindings: tuple[Binding | Reshape, ...]
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
    trial = _Trial(model, _variants(inputs), fraction, seed, units.reshapes, pace)
    with preserved(model):
        groups = trial.sift(units.groups)
        problem = trial.finish(groups, build) if groups else ""
    spared = tuple(Spared(tuple(g.modules), trial.failed.get(g.name, "")) for g in units.groups if g not in groups)
    kept = {group.name for group in groups}
    bindings = tuple(b for b in trial.bindings if b.group in kept)
    seconds = time.perf_counter() - started
    return Proof(groups, spared, bindings, trial.largest, trial.passes, seconds, not problem, problem)


def check(
    model: nn.Module, inputs: Any, groups: tuple[Group, ...], doomed: Doomed, bindings: Sequence[Binding | Reshape] = ()
) -> str | None:
    """What is wrong if just these units go, on fresh weights in double precision, or None: the proof of one step."""
    base = fresh(model).eval()
    given = _variants(inputs)[0]
    trial = _Trial(model, [given], 0.0, 0)
    with masked(base, groups, doomed):
        wanted = trial.run(base, given)
    try:
        remove(base, groups, doomed, bindings)
        difference = _difference(trial.run(base, given), wanted)
    except Exception as error:  # of a model of anybody's
        return f"without them it fails: {_told(error)}"
    return None if difference <= TOLERANCE else f"pruned and masked differ by {difference:.1g}"


def _variants(inputs: Any) -> list[Any]:
    """The inputs as they are, and two samples of other values; text also shorter and padded."""
    generator = torch.Generator().manual_seed(1)

    def double(value: Any) -> Any:
        return value.detach().cpu().double() if _is_float(value) else value

    def other(value: Any) -> Any:
        if not isinstance(value, torch.Tensor) or value.ndim == 0:
            return value
        if value.is_floating_point():
            return torch.randn(2, *value.shape[1:], generator=generator, dtype=torch.float64)
        return torch.cat([value[:1], value[:1].flip(-1)])

    found = [tree_map(double, inputs), tree_map(other, inputs)]
    if isinstance(inputs, dict) and "attention_mask" in inputs and inputs["attention_mask"].ndim == 2:
        shorter = {
            k: v[:, :-2].clone() if isinstance(v, torch.Tensor) and v.ndim == 2 else v for k, v in found[1].items()
        }
        shorter["attention_mask"][1, -2:] = 0
        found.append(shorter)
    return found


@dataclass
class _Trial:
    model: nn.Module
    variants: list[Any]
    fraction: Share
    seed: int
    reshapes: Callable[[Group], tuple[Reshape, ...]] = lambda group: ()
    pace: Pace = quiet
    bindings: list[Binding | Reshape] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    largest: float = 0.0
    passes: int = 0
    base: nn.Module | None = None
    whole: list[torch.Tensor] | None = None
    pruned: nn.Module | None = None
    pruned_of: tuple[str, ...] = ()
    trials: int = 0
    statistics: dict[str, torch.Tensor] = field(default_factory=dict)
    wanted: list[torch.Tensor] | None = None
    wanted_of: tuple[str, ...] = ()
    read: frozenset[tuple[str, str]] | None = None
    all: tuple[Group, ...] = ()

    def sift(self, groups: tuple[Group, ...]) -> tuple[Group, ...]:
        """The groups that can be removed together; attributes that must follow are found on the way."""
        self.all = groups
        self.bindings = [b for group in groups for b in spoken(self.model, group)]
        if not groups or self.fault(groups, self.variants) is None:
            return groups
        self.bindings = []
        if self.fault(groups, self.variants) is None:
            return groups
        alone = self._alone(groups)
        if not alone:
            return ()
        if (found := self._speaking(alone)) or self.fault(alone, self.variants) is None:
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
            fault = self.fault((*proved, *mine), self.variants)
            if fault is None:
                proved = (*proved, *mine)
            else:
                self.failed |= {group.name: f"it cannot go together with others: {fault}" for group in mine}
        if proved and (self.pruned is None or self.pruned_of != tuple(group.name for group in proved)):
            self.fault(proved, self.variants)
        names = {group.name for group in proved}
        return tuple(group for group in self.all if group.name in names)

    def _speaking(self, groups: tuple[Group, ...]) -> tuple[Group, ...]:
        """These groups, where they can go together with what tells of their heads; else none."""
        known = {(b.module, b.attribute) for b in self.bindings if isinstance(b, Binding)}
        follows = {b.group for b in self.bindings if isinstance(b, Reshape)}  # which ask as if nothing were gone
        silent = [group for group in groups if group.name not in follows]
        more = [b for group in silent for b in spoken(self.model, group) if (b.module, b.attribute) not in known]
        self.bindings += more
        if more and self.fault(groups, self.variants) is None:
            return groups
        self.bindings = [b for b in self.bindings if b not in more]
        return ()

    def _rule(self, group: Group) -> tuple[Rule | None, str]:
        """What must follow for groups of this build, or None if nothing will do; what failed without.

        Attributes that tell a size; else the sizes that the model's own code asks for.
        """
        first = self.variants[:1]
        fault = self.fault((group,), first, ())
        if fault is None:
            return lambda group: (), ""
        if self.trials > TRIALS:
            return None, f"nothing that was tried in {TRIALS} trials was right"
        read = self._read()
        choice = tried(candidates(self.model, group, read), lambda some: self.fault((group,), first, some) is None)
        if choice is not None:
            roles = {_role(b) for b in choice}
            return lambda group: [b for b in candidates(self.model, group, read) if _role(b) in roles], fault
        sizes = self.reshapes(group)
        if sizes and self.fault((group,), first, sizes) is None:
            return self.reshapes, fault
        return None, fault

    def _halves(self, groups: tuple[Group, ...]) -> tuple[Group, ...]:
        """The groups without those that fail, found by halving."""
        if not groups:
            return ()
        fault = self.fault(groups, self.variants)
        if fault is None:
            return groups
        if len(groups) == 1:
            self.failed[groups[0].name] = fault
            return ()
        middle = len(groups) // 2
        left, right = self._halves(groups[:middle]), self._halves(groups[middle:])
        both = left + right
        if self.fault(both, self.variants) is None:
            return both
        more, less = (left, right) if len(left) >= len(right) else (right, left)
        self.failed |= {group.name: "it cannot go together with others" for group in less}
        return more

    def fault(
        self, groups: tuple[Group, ...], variants: Sequence[Any], bindings: Sequence[Binding | Reshape] | None = None
    ) -> str | None:
        """What is wrong if some of each of these groups go, or None.

        Another choice goes each time, and at the end twice in a row: sizes and orders that are written down in the
        model may fit one choice by chance. With a single variant, one choice.
        """
        if not groups:
            return None
        self.trials += 1
        bindings = self._of(groups) if bindings is None else bindings
        runs = [("first", variants[:1]), ("last", variants[:1])] if len(variants) > 1 else []
        for which, some in [*runs, ("any", variants)]:
            if (fault := self._chain(groups, some, bindings, which)) is not None:
                return fault
        return None

    def _chain(
        self, groups: tuple[Group, ...], variants: Sequence[Any], bindings: Sequence[Binding | Reshape], which: str
    ) -> str | None:
        """What is wrong if some go for the first variant, some of the rest for the next, and so on."""
        model, left = self._copy(), groups
        for i, inputs in enumerate(variants):
            doomed = shares(left, self.fraction, i, which)
            key = (which, *(group.name for group in groups))
            wanted = self.wanted if i == 0 and self.wanted_of == key else None
            if wanted is None:
                with masked(model, left, doomed):
                    wanted = self.run(model, inputs)
            if i == 0:
                self.wanted_of, self.wanted = key, wanted
                if _difference(wanted, self._full()) < TOLERANCE:
                    return "the model gives the same without them, so that nothing is proved"
            try:
                left = remove(model, left, doomed, bindings)
                found = self.run(model, inputs)
            except Exception as error:  # of a model of anybody's
                return f"without them it fails: {_told(error)}"
            difference = _difference(found, wanted)
            if not difference <= TOLERANCE:
                return f"pruned and masked differ by {difference:.1g}"
            self.largest = max(self.largest, difference)
            left = tuple(group for group in left if group.units > 1)
        self.pruned, self.pruned_of = model, tuple(group.name for group in groups)
        return None

    def _read(self) -> frozenset[tuple[str, str]]:
        """The attributes that the model reads while it runs."""
        if self.read is None:
            model = self._copy()
            with reads(model) as found:
                self.run(model, self.variants[0])
            self.read = frozenset(found)
        return self.read

    def _of(self, groups: Sequence[Group]) -> list[Binding | Reshape]:
        names = {group.name for group in groups}
        return [b for b in self.bindings if b.group in names]

    def _copy(self) -> nn.Module:
        """The full model with fresh weights; a large one is made anew, to hold one copy at a time."""
        self.pruned = None
        if self.base is None:
            base = fresh(self.model, self.seed).eval()
            if self.whole is None:
                self._settle(base)
                self.whole = self.run(base, self.variants[0])
            for name, buffer in base.named_buffers():
                if name in self.statistics:
                    buffer.copy_(self.statistics[name])
            if sum(p.numel() for p in base.parameters()) > LARGE:
                return base
            self.base = base
        return sharing(self.base)

    def _settle(self, base: nn.Module) -> None:
        """Statistics of batch norms, where the model runs with them; else those at random do."""
        try:
            settle(base, lambda model: self.run(model, self.variants[1]))
        except Exception:  # a channel of one value has no variance
            base.load_state_dict(fresh(self.model, self.seed).state_dict())
        self.statistics = {k: v.clone() for k, v in base.named_buffers() if k.endswith(("running_mean", "running_var"))}

    def _full(self) -> list[torch.Tensor]:
        assert self.whole is not None
        return self.whole

    def run(self, model: nn.Module, inputs: Any) -> list[torch.Tensor]:
        """Outputs of a model, in evaluation."""
        with torch.no_grad(), doubles():
            outputs = tensors_of(call(model, inputs))
        self.passes += _samples(inputs)
        self.pace("prove that they can go", self.passes, max(USUAL, self.passes + 1))
        return [out for out in outputs if out.is_floating_point()]

    def finish(self, groups: tuple[Group, ...], build: Callable[[], nn.Module] | None) -> str:
        """Train a step, save and restore; what went wrong, or an empty string."""
        pruned, bindings = self.pruned, self._of(groups)
        assert pruned is not None
        self.base = None
        try:
            self._train(pruned)
        except Exception as error:  # of a model of anybody's
            fault = _told(error)
            try:
                self._train(fresh(self.model, self.seed))
            except Exception:  # it cannot be trained as it is, either
                pruned.eval()
            else:
                return f"it cannot be trained without them: {fault}"
        try:
            data = json.loads(json.dumps(sizes_of(pruned, shapes_of(self.model), bindings).to_json()))
            again = hollow(self.model).double() if build is None else build().double()
            restore(again.eval(), Sizes.from_json(data))
            again.load_state_dict(pruned.state_dict(), assign=True)
            before, after = self.run(pruned, self.variants[0]), self.run(again, self.variants[0])
        except Exception as error:  # of a model of anybody's
            return f"it cannot be restored without them: {_told(error)}"
        if not all(torch.equal(a, b) for a, b in zip(before, after, strict=True)):
            return "restored, it gives other outputs"
        return ""

    def _train(self, model: nn.Module) -> None:
        """Train a step in single precision, which takes half the memory."""
        training(model.float())
        inputs = tree_map(lambda each: each.float() if _is_float(each) else each, self.variants[0])
        with torch.random.fork_rng(devices=[]):
            outputs = [out for out in tensors_of(call(model, inputs)) if out.requires_grad]
            self.passes += 3 * _samples(inputs)
            if outputs:
                torch.stack([out.float().square().mean() for out in outputs]).sum().backward()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter.sub_(parameter.grad * (1e-3 / (1 + parameter.grad.abs().max())))
                    parameter.grad = None
        model.double().eval()


def _is_float(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.is_floating_point()


def _told(error: Exception) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0][:120] if text else ''}"


def _difference(found: Sequence[torch.Tensor], wanted: Sequence[torch.Tensor]) -> float:
    """The largest difference, relative to the largest value of its tensor; infinite where there is no saying."""
    if len(found) != len(wanted) or not found:
        return float("inf")
    largest = 0.0
    for a, b in zip(found, wanted, strict=True):
        if a.shape != b.shape or not bool(torch.isfinite(b).all()):
            return float("inf")
        if b.numel():
            scale = float(b.abs().max()) or 1.0
            largest = max(largest, float((a - b).abs().max()) / scale)
    return float("inf") if math.isnan(largest) else largest


def _samples(inputs: Any) -> int:
    tensors = tensors_of(inputs)
    return tensors[0].shape[0] if tensors and tensors[0].ndim else 1


def _build(group: Group) -> str:
    """What groups of repeated blocks have in common."""
    return re.sub(r"\d+", "#", f"{group.name} {sorted({(p.parameter, p.dim) for p in group.parts})}")


def _role(binding: Binding) -> str:
    return re.sub(r"\d+", "#", f"{binding.module} {binding.attribute} {binding.parameter} {binding.dim}")
