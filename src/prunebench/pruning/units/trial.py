"""Trial: units of some groups are removed from a copy with fresh weights, which is compared with the masked one."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_map

from prunebench.models.sizes import Sizes, restore
from prunebench.pruning.units.copies import doubles, fresh, hollow, is_float, settle, sharing
from prunebench.pruning.units.groups import Group
from prunebench.pruning.units.modes import training
from prunebench.pruning.units.pace import Pace, quiet
from prunebench.pruning.units.record import call, tensors_of
from prunebench.pruning.units.removal import Follows, Share, masked, remove, shapes_of, shares, sizes_of
from prunebench.pruning.units.trying import reads

TOLERANCE = 1e-9
"""Relative difference in double precision."""

USUAL = 30
"""Passes that a proof takes where nothing has to be tried."""

LARGE = 20_000_000
"""Models of more parameters are copied anew for each trial, instead of kept beside the copy that is pruned."""


@dataclass
class Trial:
    """A model with inputs, and what is kept from one removal to the next.

    Attributes:
        variants: inputs; the first are an example.
        fraction: the share of each group that goes.
        largest: the largest relative difference so far between pruned and masked outputs.
        passes: forward passes so far, by samples.
        pruned: the last copy of which the removal was right, and the groups that lost units.
    """

    model: nn.Module
    variants: list[Any]
    fraction: Share
    seed: int
    pace: Pace = quiet
    largest: float = 0.0
    passes: int = 0
    base: nn.Module | None = None
    whole: list[torch.Tensor] | None = None
    pruned: nn.Module | None = None
    pruned_of: tuple[str, ...] = ()
    statistics: dict[str, torch.Tensor] = field(default_factory=dict)
    wanted: list[torch.Tensor] | None = None
    wanted_of: tuple[str, ...] = ()
    _reads: frozenset[tuple[str, str]] | None = None

    def fault(self, groups: tuple[Group, ...], variants: Sequence[Any], bindings: Sequence[Follows]) -> str | None:
        """What is wrong if some of each of these groups go, or None.

        Another choice goes each time, and at the end twice in a row: sizes and orders that are written down in the
        model may fit one choice by chance. With a single variant, one choice.
        """
        if not groups:
            return None
        runs = [("first", variants[:1]), ("last", variants[:1])] if len(variants) > 1 else []
        for which, some in [*runs, ("any", variants)]:
            if (fault := self._chain(groups, some, bindings, which)) is not None:
                return fault
        return None

    def _chain(
        self, groups: tuple[Group, ...], variants: Sequence[Any], bindings: Sequence[Follows], which: str
    ) -> str | None:
        """What is wrong if some go for the first variant, some of the rest for the next, and so on."""
        model, left = self.copy(), groups
        for i, inputs in enumerate(variants):
            doomed = shares(left, self.fraction, i, which)
            key = (which, *(group.name for group in groups))
            wanted = self.wanted if i == 0 and self.wanted_of == key else None
            if wanted is None:
                with masked(model, left, doomed, back=self.base is not None):
                    wanted = self.run(model, inputs)
            if i == 0:
                self.wanted_of, self.wanted = key, wanted
                if difference(wanted, self.full()) < TOLERANCE:
                    return "the model gives the same without them, so that nothing is proved"
            try:
                left = remove(model, left, doomed, bindings)
                found = self.run(model, inputs)
            except Exception as error:  # of a model of anybody's
                return f"without them it fails: {told(error)}"
            apart = difference(found, wanted)
            if not apart <= TOLERANCE:
                return f"pruned and masked differ by {apart:.1g}"
            self.largest = max(self.largest, apart)
            left = tuple(group for group in left if group.units > group.least)
        self.pruned, self.pruned_of = model, tuple(group.name for group in groups)
        return None

    def read(self) -> frozenset[tuple[str, str]]:
        """The attributes that the model reads while it runs."""
        if self._reads is None:
            model = self.copy()
            with reads(model) as found:
                self.run(model, self.variants[0])
            self._reads = frozenset(found)
        return self._reads

    def copy(self) -> nn.Module:
        """The full model with fresh weights, whose batch norms hold what they see.

        A large one is made anew, to hold one copy at a time.
        """
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

    def full(self) -> list[torch.Tensor]:
        """Outputs of the full model for the first variant, once it was copied."""
        assert self.whole is not None
        return self.whole

    def run(self, model: nn.Module, inputs: Any) -> list[torch.Tensor]:
        """Outputs of a model, in evaluation."""
        with torch.no_grad(), doubles():
            outputs = tensors_of(call(model, inputs))
        self.passes += samples(inputs)
        self.pace("prove that they can go", self.passes, max(USUAL, self.passes + 1))
        return [out for out in outputs if out.is_floating_point()]

    def finish(self, bindings: Sequence[Follows], build: Callable[[], nn.Module] | None) -> str:
        """Train a step, save and restore; what went wrong, or an empty string."""
        pruned = self.pruned
        assert pruned is not None
        self.base = None
        if fault := self.untrainable(pruned):
            return fault
        try:
            data = json.loads(json.dumps(sizes_of(pruned, shapes_of(self.model), bindings).to_json()))
            again = hollow(self.model) if build is None else build()
            restore(again.eval(), Sizes.from_json(data))
            again.load_state_dict(pruned.state_dict(), assign=True)
            again.double()
            before, after = self.run(pruned, self.variants[0]), self.run(again, self.variants[0])
        except Exception as error:  # of a model of anybody's
            return f"it cannot be restored without them: {told(error)}"
        return unlike(before, after)

    def untrainable(self, pruned: nn.Module) -> str:
        """Train a copy a step; what went wrong, or an empty string where the full model cannot be trained, either."""
        try:
            self._train(pruned)
        except Exception as error:  # of a model of anybody's
            fault = told(error)
            try:
                self._train(fresh(self.model, self.seed))
            except Exception:  # it cannot be trained as it is, either
                pruned.double().eval()
            else:
                return f"it cannot be trained without them: {fault}"
        return ""

    def _train(self, model: nn.Module) -> None:
        """Train a step in single precision, which takes half the memory."""
        training(model.float())
        inputs = tree_map(lambda each: each.float() if is_float(each) else each, self.variants[0])
        with torch.random.fork_rng(devices=[]):
            outputs = [out for out in tensors_of(call(model, inputs)) if out.requires_grad]
            self.passes += 3 * samples(inputs)
            if outputs:
                torch.stack([out.float().square().mean() for out in outputs]).sum().backward()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter.sub_(parameter.grad * (1e-3 / (1 + parameter.grad.abs().max())))
                    parameter.grad = None
        model.double().eval()


def told(error: Exception) -> str:
    """An error in a line, shortened."""
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0][:120] if text else ''}"


def unlike(before: Sequence[torch.Tensor], after: Sequence[torch.Tensor]) -> str:
    """What is wrong with outputs of a model that came back; empty where they are the same to the bit."""
    same = all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    return "" if same else "restored, it gives other outputs"


def difference(found: Sequence[torch.Tensor], wanted: Sequence[torch.Tensor]) -> float:
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


def samples(inputs: Any) -> int:
    """The samples of a batch, by its first tensor."""
    tensors = tensors_of(inputs)
    return tensors[0].shape[0] if tensors and tensors[0].ndim else 1
