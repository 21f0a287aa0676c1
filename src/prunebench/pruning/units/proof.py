"""Proof: what is removed is what would be masked, on this very model, before anything is trained.

On a copy with fresh weights in double precision the pruned model equals the one in which the removed units are zero
where they are read; it takes a step of training, is saved and restored to the bit, and is pruned again. A group that
fails is spared.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_map

from prunebench.pruning.units.copies import doubles, fresh, sharing
from prunebench.pruning.units.groups import Group, Spared, Units
from prunebench.pruning.units.modes import training
from prunebench.pruning.units.record import call, tensors_of
from prunebench.pruning.units.removal import Binding, chosen, mask, remove, sizes_of
from prunebench.pruning.units.sizes import Sizes, restore
from prunebench.pruning.units.trying import candidates, tried

TOLERANCE = 1e-9


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
    bindings: tuple[Binding, ...]
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
    fraction: float = 0.3,
    build: Callable[[], nn.Module] | None = None,
    seed: int = 0,
) -> Proof:
    """Prove that units can be removed.

    Args:
        inputs: as for `find`.
        fraction: the share of each group that is removed at once.
        build: builds the full model anew; else a copy of the model stands for it.
    """
    started = time.perf_counter()
    trial = _Trial(fresh(model, seed).eval(), _variants(inputs), units.groups, fraction)
    groups = trial.sift(units.groups)
    sound, problem = True, ""
    if groups:
        problem = trial.finish(groups, build)
        sound = not problem
    spared = tuple(Spared(tuple(g.modules), trial.failed.get(g.name, "")) for g in units.groups if g not in groups)
    kept = {group.name for group in groups}
    bindings = tuple(b for b in trial.bindings if b.group in kept)
    seconds = time.perf_counter() - started
    return Proof(groups, spared, bindings, trial.largest, trial.passes, seconds, sound, problem)


def _variants(inputs: Any) -> list[Any]:
    """The inputs as they are, and two samples of other values; text also shorter and padded."""
    generator = torch.Generator().manual_seed(1)

    def double(value: Any) -> Any:
        return value.detach().cpu().double() if isinstance(value, torch.Tensor) and value.is_floating_point() else value

    def other(value: Any) -> Any:
        if not isinstance(value, torch.Tensor) or value.ndim == 0:
            return value
        if value.is_floating_point():
            return torch.randn(2, *value.shape[1:], generator=generator, dtype=torch.float64)
        return torch.cat([value[:1], value[:1].flip(-1)])

    found = [tree_map(double, inputs), tree_map(other, inputs)]
    if isinstance(inputs, dict) and "attention_mask" in inputs and inputs["attention_mask"].ndim == 2:
        shorter = {k: v[:, :-2].clone() if isinstance(v, torch.Tensor) and v.ndim == 2 else v for k, v in found[1].items()}
        shorter["attention_mask"][1, -2:] = 0
        found.append(shorter)
    return found


@dataclass
class _Trial:
    base: nn.Module
    variants: list[Any]
    groups: Sequence[Group]
    fraction: float
    bindings: list[Binding] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    largest: float = 0.0
    passes: int = 0
    whole: list[torch.Tensor] | None = None

    def sift(self, groups: tuple[Group, ...]) -> tuple[Group, ...]:
        """The groups that can be removed together; attributes that must follow are found on the way."""
        if not groups or self.fault(groups, self.variants) is None:
            return groups
        rules: dict[str, tuple[str, ...] | None] = {}
        alone = []
        for group in groups:
            build = _build(group)
            if build not in rules:
                rules[build] = self._rule(group)
            rule = rules[build]
            if rule is None:
                self.failed.setdefault(group.name, self.failed.get(self._first(build, groups).name, ""))
            else:
                self.bindings += [b for b in candidates(self.base, group) if _role(b) in rule]
                alone.append(group)
        return self._halves(tuple(alone))

    def _first(self, build: str, groups: Sequence[Group]) -> Group:
        return next(group for group in groups if _build(group) == build)

    def _rule(self, group: Group) -> tuple[str, ...] | None:
        """Which attributes must follow for groups of this build, or None if none will do."""
        first = self.variants[:1]
        fault = self.fault((group,), first)
        if fault is None:
            return ()
        self.failed[group.name] = fault
        options = candidates(self.base, group)
        choice = tried(options, lambda some: self.fault((group,), first, some) is None)
        if choice is None:
            return None
        del self.failed[group.name]
        return tuple(_role(b) for b in choice)

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
        if len(both) == len(groups) or self.fault(both, self.variants) is not None:
            more, less = (left, right) if len(left) >= len(right) else (right, left)
            for group in less:
                self.failed[group.name] = "it cannot go together with others"
            return more
        return both

    def fault(
        self, groups: Sequence[Group], variants: Sequence[Any], bindings: Sequence[Binding] | None = None
    ) -> str | None:
        """What is wrong if some of each of these groups goes, or None."""
        doomed = chosen(groups, self.fraction)
        names = {group.name for group in groups}
        bindings = [b for b in self.bindings if b.group in names] if bindings is None else bindings
        try:
            pruned = sharing(self.base)
            remove(pruned, groups, doomed, bindings)
            found = [self.run(pruned, inputs) for inputs in variants]
        except Exception as error:  # of a model of anybody's
            return f"without them it fails: {type(error).__name__}: {str(error).splitlines()[0][:120] if str(error) else ''}"
        masked = sharing(self.base)
        mask(masked, groups, doomed)
        for i, (inputs, outputs) in enumerate(zip(variants, found, strict=True)):
            wanted = self.run(masked, inputs)
            difference = _difference(outputs, wanted)
            if not difference <= TOLERANCE:
                return f"pruned and masked differ by {difference:.1g}"
            if i == 0 and _difference(wanted, self.full()) < TOLERANCE:
                return "the model gives the same without them, so that nothing is proved"
            self.largest = max(self.largest, difference)
        return None

    def full(self) -> list[torch.Tensor]:
        """Outputs of the full model."""
        if self.whole is None:
            self.whole = self.run(self.base, self.variants[0])
        return self.whole

    def run(self, model: nn.Module, inputs: Any) -> list[torch.Tensor]:
        """Outputs of a model, in evaluation."""
        with torch.no_grad(), doubles():
            outputs = tensors_of(call(model, inputs))
        self.passes += _samples(inputs)
        return [out for out in outputs if out.is_floating_point()]

    def finish(self, groups: tuple[Group, ...], build: Callable[[], nn.Module] | None) -> str:
        """Train a step, save, restore, and prune again; what went wrong, or an empty string."""
        names = {group.name for group in groups}
        bindings = [b for b in self.bindings if b.group in names]
        pruned, step = sharing(self.base), "is pruned"
        try:
            left = remove(pruned, groups, chosen(groups, self.fraction), bindings)
            step = "is trained"
            self._train(pruned)
            step = "is saved and restored"
            data = json.loads(json.dumps(sizes_of(pruned, self.base, bindings).to_json()))
            again = sharing(self.base) if build is None else build().double().eval()
            restore(again, Sizes.from_json(data))
            again.load_state_dict(pruned.state_dict())
            before, after = self.run(pruned, self.variants[0]), self.run(again, self.variants[0])
            if not all(torch.equal(a, b) for a, b in zip(before, after, strict=True)):
                return "restored, it gives other outputs"
            step = "is pruned again"
            left = tuple(group for group in left if group.units > 1)
            doomed = chosen(left, self.fraction, seed=1)
            masked = sharing(pruned)
            mask(masked, left, doomed)
            remove(pruned, left, doomed, bindings)
            difference = _difference(self.run(pruned, self.variants[0]), self.run(masked, self.variants[0]))
            if not difference <= TOLERANCE:
                return f"pruned again, it differs from the masked model by {difference:.1g}"
        except Exception as error:  # of a model of anybody's
            return f"it fails as it {step}: {type(error).__name__}: {str(error).splitlines()[0][:120] if str(error) else ''}"
        return ""

    def _train(self, model: nn.Module) -> None:
        training(model)
        inputs = self.variants[1] if len(self.variants) > 1 else self.variants[0]
        parameters = [p for p in model.parameters() if p.requires_grad]
        with doubles():
            outputs = [out for out in tensors_of(call(model, inputs)) if out.requires_grad]
            self.passes += 3 * _samples(inputs)
            if outputs and parameters:
                loss = sum((out.double() ** 2).mean() for out in outputs)
                grads = torch.autograd.grad(loss, parameters, allow_unused=True)  # type: ignore[arg-type]
                for name, parameter in model.named_parameters():
                    pass
                with torch.no_grad():
                    for parameter, grad in zip(parameters, grads, strict=True):
                        if grad is not None:
                            parameter.sub_(grad * (1e-3 / (1 + grad.abs().max())))
        model.eval()


def _difference(found: Sequence[torch.Tensor], wanted: Sequence[torch.Tensor]) -> float:
    """The largest difference, relative to the largest value of its tensor; infinite if shapes differ or values are not finite."""
    if len(found) != len(wanted) or not found:
        return float("inf")
    largest = 0.0
    for a, b in zip(found, wanted, strict=True):
        if a.shape != b.shape or not bool(torch.isfinite(b).all()):
            return float("inf")
        if b.numel():
            scale = float(b.abs().max()) or 1.0
            largest = max(largest, float((a - b).abs().max()) / scale)
    return largest if largest == largest else float("inf")


def _samples(inputs: Any) -> int:
    tensors = tensors_of(inputs)
    return tensors[0].shape[0] if tensors and tensors[0].ndim else 1


def _build(group: Group) -> str:
    """What groups of repeated blocks have in common."""
    return re.sub(r"\d+", "#", f"{group.name} {sorted({(p.parameter, p.dim) for p in group.parts})}")


def _role(binding: Binding) -> str:
    return re.sub(r"\d+", "#", f"{binding.module} {binding.attribute} {binding.parameter} {binding.dim}")
