"""Registries of pruning methods and criteria, and what passes between them and the loop.

A *method* says how weights go (masked one by one, or removed in whole groups); a *criterion* says which go first.
Both are stateless: the same call works at any iteration, after a resume, or on a model from elsewhere.

A criterion scores one parameter: it takes, by name, those of these arguments that it asks for, and returns a
tensor of the parameter's shape; what scores lowest goes first.

    weight            a copy of the parameter, detached; so are all others: what is done to them in place stays here
    gradient          of the mean loss of the calibration samples, of the parameter's shape
    squared_gradient  the mean of its squares, sample by sample
    hessian_diagonal  ∂²L/∂w² of the mean loss L, estimated (evidence/curvature.py)
    hessian_gradient  the gradient of ½‖g‖², where g is that of L by all parameters
    movement          −Σ w·g over the steps of an epoch of fine-tuning before the pruning
    synaptic_flow     ∂R/∂|w| / R, R being what flows through the model by |w| alone (evidence/flow.py)
    input_norm        of what each weight is multiplied with ‖x‖₂ over all samples and positions
    input_size        the mean of |x|
    input_variance    the variance of x
    input_zeros       the share of x that is exactly zero
    name              its name in the model
    model             the whole model
    task              train and test data (data/task.py)
    generator         a seeded torch.Generator on the CPU

Unstructured pruning removes the weights that score lowest; structured pruning the units whose scores sum up to the
least. A criterion that asks for one of these scores the units of a group instead, with a tensor of shape (units,):

    weights      all weights that go with each unit, (units, values)
    gradients    theirs, as above
    filters      those weights that make the unit, (units, values)
    scales       what batch norms multiply the unit with, (units, values)
    input_norms  those of its weights, as above
    activations  mean |a| of each unit as each layer reads it that does, (units, readers)
    activation_variances, activation_zeros  the variance of a and its share of zeros, likewise
    reader_errors  ⟨y_c, y_d⟩ of what units add to all that the layers put out that read them, (units, units)
    group        where in the parameters the units stand (units/groups.py)
    model, task, generator as above

A criterion that asks for `gram` does not score: it solves. It is given a parameter, or one part of it after the other,
as (groups, rows, columns) with a row per output, and returns a tuple: which weights stay, bool, and the values of all:

    weight, left      the weights, and which are left, False where they went before
    gram              Σ x xᵀ of what the columns read, float64, (groups, columns, columns)
    going             how many go
    pattern           of --pattern, of which N of every M columns stay side by side, else None
    name, model, task, generator as above

Where whole blocks go, a criterion scores each of them, with a number:

    block        the module
    name         its name in the model
    influence    1 − cos(what it is given, what it gives), a mean over training samples
    model, task, generator as above
"""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from prunebench.errors import ConfigError
from prunebench.models.input_spec import InputSpec
from prunebench.models.masks import Masks
from prunebench.pruning.evidence import BY_UNITS, GRAM, NOT_OF_SAMPLES, OF_WEIGHTS, Evidence, untold
from prunebench.records import RemovedBlock
from prunebench.registry import Registry, call, parameters

if TYPE_CHECKING:
    import torch
    from torch import nn

    from prunebench.data.task import Task
    from prunebench.models.kept import Kept
    from prunebench.pruning.blocks.proof import Blocks
    from prunebench.pruning.granularity import Pattern
    from prunebench.pruning.multiplied import Weights
    from prunebench.pruning.units.groups import Group
    from prunebench.pruning.units.removable import Removable
    from prunebench.pruning.units.removal import Share


Finetune = Callable[["nn.Module"], None]
"""Fine-tunes a model in place, as a step does after it has pruned, its masked weights at zero."""


@dataclass(frozen=True)
class Request:
    """What to prune: the fraction of what is left, by which criterion, where, and with which seed.

    On the way to a target it is said besides which share of the original is to be there after the step: `gone` of
    weights or units, or what is left of parameters or of multiply-accumulates. Then that counts, and not `fraction`.

    `include` and `exclude` are glob patterns on module names; a pattern that matches a module matches all
    inside it; `keeps` are those of what stays whole unless `include` is given. By a `pattern` single weights go
    together, or it decides which go. With `round_to` above 1, structured pruning leaves as many units as `step` steps
    would have left of the unpruned model, rounded up to a multiple. Of whole units, as many go as in `leap` steps one
    after the other. `kinds` are those of units that go; all where it is empty. `layer_fractions` are globs of modules
    with fractions of their own, the last one that matches counts; `floor` is the share of its original units that every
    group keeps at least; `through_norms` says that a norm over channels passes each of them alone; `untrained`
    that no training follows, so that what reads is pruned in turn.
    `removable` tells what can be removed of the unpruned model, and `weights` which of its parameters are weights;
    where it is None, it is found of the model as it is. So is `blocks`, the blocks of the unpruned model, and
    `evidence`, what the criterion asks for of `calibration` training samples; what asks for `movement` takes an epoch
    of `finetune`. In each of `rounds` a part goes, and what is left is scored anew.
    `scope` is the method's own where it is None; the unpruned model has `original_macs`, counted where it is None.
    `group_reduction`, `group_normalisation` and `by` say how units are scored (pruning/unit_scores); `costs` are the
    milliseconds of a unit of each group, by its name, for `by` latency.
    """

    fraction: float
    criterion: Callable[..., Any]
    inputs: InputSpec
    gone: float | None = None
    params_left: float | None = None
    macs_left: float | None = None
    seed: int = 0
    task: Task | None = None
    scope: str | None = None
    pattern: Pattern | None = None
    untrained: bool = False
    targets: str = "weights"
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    keeps: tuple[str, ...] = ()
    step: int = 1
    leap: int = 1
    round_to: int = 1
    kinds: tuple[str, ...] = ()
    layer_fractions: tuple[tuple[str, float], ...] = ()
    floor: float = 0.0
    through_norms: bool = False
    removable: Removable | None = None
    weights: Weights | None = None
    blocks: Blocks | None = None
    calibration: int = 1024
    evidence: Evidence | None = None
    finetune: Finetune | None = None
    rounds: int = 1
    original_macs: int | None = None
    group_reduction: str | None = None
    group_normalisation: str = "none"
    by: str = "units"
    costs: Mapping[str, float] | None = None

    def selects(self, module: str) -> bool:
        """Whether a module may be pruned."""
        if self.include:
            return matches(module, self.include) and not self.excludes(module)
        return not matches(module, self.exclude + self.keeps)

    def fraction_of(self, modules: Sequence[str]) -> float:
        """The fraction of what these modules make together."""
        own = self.own_fraction(modules)
        return self.fraction if own is None else own

    def own_fraction(self, modules: Sequence[str]) -> float | None:
        """The fraction of what these modules make together, where they have one of their own."""
        own = [share for glob, share in self.layer_fractions if any(matches(module, (glob,)) for module in modules)]
        return own[-1] if own else None

    @property
    def bounded(self) -> bool:
        """Whether it is said what is left of parameters, or of multiply-accumulates."""
        return self.macs_left is not None or self.params_left is not None

    def share(self, steps: int = 1) -> Share:
        """The share of units that so many steps remove, of each group its own where that is asked for."""
        if self.gone is not None:
            return self.gone
        if (bound := self.params_left or self.macs_left) is not None:
            return 1 - math.sqrt(bound)  # what a layer costs falls as the square of its width
        if not self.layer_fractions:
            return 1 - (1 - self.fraction) ** steps
        return lambda group: 1 - (1 - self.fraction_of(group.modules)) ** steps

    def excludes(self, module: str) -> bool:
        """Whether a module is named as one that is not to be pruned."""
        return matches(module, self.exclude)

    def check_patterns(self, model: nn.Module, parameters: Iterable[str] = ()) -> None:
        """Raise ConfigError where a pattern matches no module of the model, and none of the parameters named."""
        names = [name for name, _ in model.named_modules(remove_duplicate=False)] + list(parameters)
        for pattern in (*self.include, *self.exclude, *(glob for glob, _ in self.layer_fractions)):
            if not any(fnmatch.fnmatchcase(name, pattern) for name in names):
                parts = ", ".join(name for name, _ in model.named_children())
                raise ConfigError(f"No module matches {pattern!r}; the model consists of: {parts}.")

    def score(self, model: nn.Module, name: str, generator: torch.Generator) -> torch.Tensor:
        """The criterion's scores of one parameter, in the parameter's shape.

        Raises:
            ConfigError: the criterion returns another shape, or scores that are not numbers; or what it asks for cannot
                be told.
        """
        weight = model.get_parameter(name).detach()
        asked = parameters(self.criterion)
        told = {each: found.get(name) for each, found in (self.evidence or {}).items() if each in asked}
        if None in told.values():
            raise ConfigError(untold(name, next(each for each, found in told.items() if found is None)))
        there = {"weight": weight} | {each: found for each, found in told.items() if found is not None}
        own = {each: found.clone() for each, found in there.items()}  # to be changed in place
        offered = dict.fromkeys(("weight", *OF_WEIGHTS)) | own | {"name": name}
        scores = call(self.criterion, offered | self._besides(model, generator))
        return _ranked(scores, name, weight)

    def check_units(self, model: nn.Module, groups: Sequence[Group]) -> None:
        """Raise ConfigError where what a criterion of units asks for tells nothing of some groups, and name all."""
        from prunebench.pruning.evidence.of_units import check_told

        check_told(parameters(self.criterion), model, groups, self.evidence or {})

    def score_units(self, model: nn.Module, group: Group, generator: torch.Generator) -> torch.Tensor:
        """The scores of a group's units by a criterion of units, of shape (units,).

        Raises:
            ConfigError: as `score`.
        """
        import torch

        from prunebench.pruning.evidence.of_units import of_group

        asked = parameters(self.criterion).keys() & BY_UNITS.keys()
        told = {name: of_group(name, model, group, self.evidence or {}) for name in asked}
        offered = {**dict.fromkeys(BY_UNITS), **told, "group": group}
        scores = call(self.criterion, offered | self._besides(model, generator))
        return _ranked(scores, f"the units of {group.name}", torch.empty(group.units))

    def _besides(self, model: nn.Module, generator: torch.Generator) -> dict[str, Any]:
        return {"model": model, "task": self.task, "generator": generator}


def _ranked(scores: object, what: str, like: torch.Tensor) -> torch.Tensor:
    """Scores, where they can be ranked: of the shape that they must have, and all of them numbers."""
    import torch

    if not isinstance(scores, torch.Tensor) or scores.shape != like.shape:
        got = tuple(scores.shape) if isinstance(scores, torch.Tensor) else type(scores).__name__
        raise ConfigError(f"The criterion scored {what} as {got}; it must return shape {tuple(like.shape)}.")
    if scores.numel() and torch.isnan(scores.real.amax()):  # the largest is NaN where any is
        raise ConfigError(f"The criterion scored {what} with NaN, which cannot be ranked.")
    return scores.detach().to(like.device)


def scores_units(criterion: Callable[..., Any]) -> bool:
    """Whether a criterion scores units as such, and not single weights: it asks for what tells of units."""
    return not parameters(criterion).keys().isdisjoint(BY_UNITS)


def solves(criterion: Callable[..., Any]) -> bool:
    """Whether a criterion solves for what stays, and does not score: it asks for a Gram matrix."""
    return GRAM in parameters(criterion)


def needs(*functions: Callable[..., Any]) -> tuple[str, ...]:
    """What a criterion, or a scope, asks for that is gathered beforehand, by the names of evidence of weights."""
    found: list[str] = []
    for name in (name for function in functions for name in parameters(function)):
        found += [name] if name in (*OF_WEIGHTS, GRAM) else BY_UNITS.get(name, ())
    return tuple(dict.fromkeys(found))


def of_samples(asked: Iterable[str]) -> tuple[str, ...]:
    """What of that is gathered of the calibration samples."""
    return tuple(name for name in asked if name not in NOT_OF_SAMPLES)


def matches(module: str, patterns: tuple[str, ...]) -> bool:
    """Whether a pattern fits a module, or one that it is in."""
    parts = module.split(".")
    paths = [".".join(parts[: i + 1]) for i in range(len(parts))]
    return any(fnmatch.fnmatchcase(path, pattern) for path in paths for pattern in patterns)


@dataclass(frozen=True)
class Pruned:
    """What a method returns: the new masks, remarks on what could not be removed, and the blocks that went.

    `kept` are the units that stay, of parameters and buffers that lose some: name → dimension → bool.
    """

    masks: Masks
    notes: tuple[str, ...] = ()
    removed: tuple[RemovedBlock, ...] = ()
    kept: Kept = field(default_factory=dict)


@dataclass(frozen=True)
class Alone:
    """What can be pruned by itself: a layer or group, the kind of its units, for how many each of them counts, and what
    prunes nothing else."""

    name: str
    kind: str
    counts: int
    request: Request


@dataclass(frozen=True)
class Method:
    """A registered method.

    Attributes:
        prune: (model, masks, request) → Pruned. May change the model in place.
        count: (model, masks, request) → units left of each kind, among those that the request selects.
        prunable: (model, request) → names of the weights that the parameter count is told about.
        reached: (model, request) → names of the weights of which something may be removed.
        units: what is removed, for sentences, by what the model reads (None: a user's own model).
        alone: (unpruned model, request) → what of it can be pruned alone, in the model's order; None: nothing can.
        check: (unpruned model, request of the last step) raises ConfigError where it cannot be met.
        masks: whether single weights are masked, and the model keeps its shape.
        narrows: whether whole units go, so that layers become narrower.
        shortens: whether whole blocks go, which a criterion scores as such, so that the model becomes less deep.
        widths_from_scores: whether it depends on the criterion how many weights each layer keeps, and so on which a
            model takes as long.
    """

    name: str
    summary: str
    criterion: str
    units: Mapping[str | None, str]
    prune: Callable[[nn.Module, Masks, Request], Pruned]
    count: Callable[[nn.Module, Masks, Request], dict[str, int]]
    prunable: Callable[[nn.Module, Request], list[str]]
    reached: Callable[[nn.Module, Request], list[str]]
    alone: Callable[[nn.Module, Request], list[Alone]] | None = None
    check: Callable[[nn.Module, Request], None] = lambda model, request: None
    masks: bool = False
    narrows: bool = False
    shortens: bool = False
    widths_from_scores: bool = False

    @property
    def lowers_macs(self) -> bool:
        """Whether less is multiplied afterwards."""
        return self.narrows or self.shortens

    @property
    def removes(self) -> bool:
        """Whether it removes anything; a control does not."""
        return self.masks or self.lowers_macs

    def left(self, fraction: float, step: int) -> float:
        """The nominal share of units that is left after so many steps."""
        return (1 - fraction) ** step if self.removes else 1.0

    def widths_from_criterion(self, scope: object) -> bool:
        """Whether it depends on the criterion how many weights each layer keeps, with a scope as runs store it."""
        return self.widths_from_scores or self.widths_from_weights(scope)

    def widths_from_weights(self, scope: object) -> bool:
        """Whether it depends on the trained weights how long a model takes: where whole blocks go, or units of several
        layers compete. Runs of whole units store `global` or `layerwise` where no scope was asked for."""
        return self.shortens or (self.narrows and scope not in (None, "global", "layerwise"))

    def ranking(self, criterion: Criterion, reduction: str | None = None) -> Callable[..., Any]:
        """How a criterion scores what this method removes; with a `reduction`, the weights of units.

        Raises:
            ConfigError: it does not.
        """
        if reduction is not None and criterion.score is not None and not scores_units(criterion.score):
            return criterion.score
        if reduction is not None:
            raise ConfigError(
                f"--group-reduction {reduction} reduces the scores of weights, and --criterion {criterion.name} scores "
                f"whole units: leave it out."
            )
        found = self.fitting(criterion)
        if found is None:
            fit = ", ".join(c.name for c in map(criteria.get, criteria.names()) if self.fitting(c))
            scores = (
                "whole blocks"
                if criterion.block
                else "single weights"
                if criterion.score or criterion.solve
                else "whole units"
            )
            raise ConfigError(
                f"--criterion {criterion.name} scores {scores}, and {self.name} pruning ranks {self._ranks}; give "
                f"{fit}, or your own as path.py:function."
            )
        if self.masks and scores_units(found):
            raise ConfigError(
                f"--criterion {criterion.name} asks for what tells of whole units, and {self.name} pruning ranks "
                f"{self._ranks}: have it ask for weight, or give --method structured."
            )
        if self.lowers_macs and solves(found):
            raise ConfigError(
                f"--criterion {criterion.name} solves for single weights, and {self.name} pruning ranks {self._ranks}: "
                f"have it not ask for {GRAM}, or give --method unstructured."
            )
        return found

    @property
    def _ranks(self) -> str:
        return "whole blocks" if self.shortens else "units" if self.narrows else "single weights"

    def fitting(self, criterion: Criterion) -> Callable[..., Any] | None:
        """What of a criterion scores what this method removes; None where nothing does."""
        if self.shortens:
            return criterion.block
        if self.narrows:
            return criterion.unit or criterion.score
        return criterion.score or criterion.solve


@dataclass(frozen=True)
class Criterion:
    """A registered criterion, as the top of this module describes.

    Attributes:
        summary: what goes first, with the formula of the score and the paper.
        score: scores single weights; None: it has no meaning for them.
        block: scores whole blocks; None: it does not.
        unit: scores the units of a group; None: their weights' scores are summed up.
        scope: in which single weights are ranked by it unless another is asked for.
        rounds: in how many rounds one step prunes, each of which scores what the one before has left.
        solve: prunes single weights and changes those that stay.
    """

    name: str
    summary: str
    score: Callable[..., torch.Tensor] | None = None
    block: Callable[..., float] | None = None
    unit: Callable[..., torch.Tensor] | None = None
    scope: str = "global"
    rounds: int = 1
    solve: Callable[..., tuple[torch.Tensor, torch.Tensor]] | None = None


methods: Registry[Method] = Registry("method", "prunebench.pruning.methods", None)
criteria: Registry[Criterion] = Registry(
    "criterion", "prunebench.pruning.criteria", lambda name, score: Criterion(name, "your own", score, score)
)


def register_criterion(
    name: str, summary: str, aliases: Sequence[str] = ()
) -> Callable[[Callable[..., torch.Tensor]], Callable[..., torch.Tensor]]:
    """Decorator: register a criterion of single weights under a name, and other names that it goes by."""

    def add(score: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        criteria.add(name, Criterion(name, summary, score), aliases)
        return score

    return add
