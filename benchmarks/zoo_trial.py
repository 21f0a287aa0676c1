"""One model of the zoo through a structured step of prunebench, and the same through torch-pruning's own pruner.

The step is a run's: the model is built and checked as a run does it, its units are found and proved, 30 % of them go by
l2, a checkpoint is written and loaded in a clean build, which is trained for a step and pruned again. What the tool
says of itself is not believed: each time the weights carry their positions (`positions`), and the pruned model is
compared with the masked one.

*Whole* is a model whose every layer with weights loses units, apart from layers whose outputs are the model's, or that
these do not depend on; layers that make a single channel or head; layers of residual streams that norms over channels
hold together (`zoo_excuses`); and layers that make positions instead of channels. Depthwise filters go with the
channels that they filter. What else keeps all its units is named with the reason that the library gives, and the model
is whole *partly*.
"""

from __future__ import annotations

import contextlib
import copy
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

import positions
from prunebench.errors import PrunebenchError
from prunebench.experiment.summary import spared_layers
from prunebench.models.architecture import Architecture, ModelEntry
from prunebench.models.checkpoint import Checkpoint, load, save
from prunebench.models.costs import params
from prunebench.models.input_spec import InputSpec, check_forward, check_training, output_of, to
from prunebench.models.macs import Uses, total, uses
from prunebench.models.sharing import first_names
from prunebench.pruning.criteria.magnitude import l2
from prunebench.pruning.methods import structured
from prunebench.pruning.registry import Request
from prunebench.pruning.units.groups import Group, module_of
from prunebench.pruning.units.makers import OUT
from prunebench.pruning.units.removable import Removable, find_removable, left_of
from zoo_excuses import Excuses
from zoo_models import CLASSES

FRACTION = 0.3
BATCH = 2


@dataclass
class Outcome:
    """What became of a model.

    Attributes:
        verdict: whole, partly, refused, wrong, traceback (an error that is none of the library's own, or one after
            something was pruned), or, given by who waits for it, does not end.
        why: of what is refused, wrong or raised; one line.
        stage: what was done last.
        proved: groups whose removal the library says is exact.
        difference: between pruned and masked, by the independent check.
        macs_left, macs_kept: shares of the model's multiply-accumulates: left after the step; in layers that keep all
            their units.
        spared: what is missing to be whole, reason → layers; `excused` what may be missing.
        seconds: to find, prove and remove.
    """

    verdict: str = ""
    why: str = ""
    stage: str = "build"
    params: int = 0
    macs: int = 0
    proved: int = 0
    difference: float | None = None
    macs_left: float | None = None
    macs_kept: float | None = None
    spared: dict[str, list[str]] = field(default_factory=dict)
    excused: dict[str, list[str]] = field(default_factory=dict)
    seconds: float | None = None
    details: str = ""

    def to_json(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)


class _Wrong(Exception):
    """The independent check, or the round trip, says no, or cannot say."""

    def __init__(self, why: str, verdict: str = "wrong") -> None:
        super().__init__(why)
        self.verdict = verdict


@contextlib.contextmanager
def _told(found: Outcome) -> Iterator[None]:
    """Turn what is raised within into a verdict."""
    try:
        yield
    except _Wrong as error:
        found.verdict, found.why = error.verdict, f"{found.stage}: {error}"
    except PrunebenchError as error:
        found.verdict = "refused" if found.stage in ("build", "check", "find", "prune") else "traceback"
        found.why = str(error)
    except Exception as error:  # of anybody's model, or of a tool
        found.verdict = "traceback"
        found.why = f"{found.stage}: {type(error).__name__}: {str(error)[:200]}"
        found.details = "".join(traceback.format_exception(error)[-12:])


def example(inputs: InputSpec) -> Any:
    """Two samples in double precision; the second sentence is padded."""
    batch = to(inputs.example(BATCH, seed=7), dtype=torch.float64)
    if isinstance(batch, dict):
        batch["attention_mask"][1, -3:] = 0
    return batch


class _Undrawn(TorchFunctionMode):
    """Within, no random numbers are drawn for parameters: they are filled in anyhow, and large ones take seconds."""

    DRAWN = (torch.Tensor.normal_, torch.Tensor.uniform_, torch.Tensor.erfinv_)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in self.DRAWN and isinstance(args[0], nn.Parameter):
            return args[0]
        return func(*args, **(kwargs or {}))


class _Whole:
    """A model as it is built, always with the same values."""

    def __init__(self, entry: ModelEntry, inputs: InputSpec) -> None:
        self.entry, self.inputs = entry, inputs
        self.architecture = Architecture("zoo", {"classes": CLASSES, "image_size": inputs.size}, inputs)

    def build(self) -> nn.Module:
        """With values of parameters that nobody has drawn yet."""
        torch.manual_seed(0)
        with _Undrawn():
            return self.architecture.build(self.entry).eval()

    def load(self, folder: Path) -> nn.Module:
        """A checkpoint's model, in a clean build."""
        with _Undrawn():
            return load(folder, self.entry).model

    def request(self, found: Removable | None) -> Request:
        return Request(fraction=FRACTION, criterion=l2, inputs=self.inputs, removable=found)


def pruned_by_prunebench(build: Callable[[], nn.Module], inputs: InputSpec) -> Outcome:
    """Take a model through a step and the round trip."""
    found = Outcome()
    with _told(found), tempfile.TemporaryDirectory() as folder:
        about = _Whole(ModelEntry("zoo", "of the zoo", build), inputs)
        model = about.build()
        found.params, marks = params(model), _marked(model, inputs)
        found.stage = "check"
        check_forward(model, inputs, lambda shape: "" if shape == (1, CLASSES) else f"expected (1, {CLASSES})", "zoo")
        check_training(model, inputs, "zoo")
        removable = _step(found, about, model, marks, Path(folder))
        del model
        found.stage = "train"
        again = about.load(Path(folder))
        _train(about, again)
        found.stage = "prune again"
        _again(found, about, again, removable)
        found.verdict = "partly" if found.spared else "whole"
    return found


def _step(found: Outcome, about: _Whole, model: nn.Module, marks: positions.Marks, folder: Path) -> Removable:
    """Prune, look at what is left, write it to a folder, load it, and judge it; the model is used up."""
    state = copy.deepcopy(model.state_dict())
    multiplied = uses(model, about.inputs)
    found.macs, found.stage = total(multiplied), "find"
    started = time.perf_counter()
    removable = find_removable(model, about.inputs, (FRACTION,), build=about.build)
    found.seconds = time.perf_counter() - started
    found.proved = len(removable.groups)
    _tell_kept(found, about, model, removable, multiplied)
    found.stage, started = "prune", time.perf_counter()
    structured.prune(model, {}, about.request(removable))
    found.seconds += time.perf_counter() - started
    found.stage = "count"
    found.macs_left = total(uses(model, about.inputs)) / max(1, found.macs)
    found.stage = "save and load"
    save(Checkpoint(about.architecture, model, {}), folder)
    before = _output(model, about.inputs)
    if not torch.equal(before, _output(about.load(folder), about.inputs)):
        raise _Wrong("loaded, it gives other outputs")
    found.stage = "compare"
    whole = about.build()
    whole.load_state_dict(state)
    del state
    _believe(found, positions.judge(whole, marks, model, example(about.inputs)))
    if removable.problem:
        raise _Wrong(f"the proof: {removable.problem}")
    return removable


def _marked(model: nn.Module, inputs: InputSpec) -> positions.Marks:
    marks = positions.mark(model)
    positions.settle(model, inputs.example(BATCH, seed=3))
    return marks


def _output(model: nn.Module, inputs: InputSpec) -> torch.Tensor:
    with torch.no_grad():
        return output_of(model.eval(), inputs.example(BATCH, seed=5))


def _believe(found: Outcome, judged: positions.Judgement) -> None:
    found.difference = max(judged.difference or 0.0, found.difference or 0.0)
    if judged.verdict == "not judged":
        raise _Wrong(judged.why, judged.verdict)
    if judged.verdict != "equal":
        raise _Wrong(f"{judged.verdict} {judged.why}".strip())


def _train(about: _Whole, model: nn.Module) -> None:
    """A step of gradient descent; where the whole model cannot take one, the pruned one need not."""
    try:
        _descend(model, about.inputs)
    except Exception:  # of a model of anybody's
        try:
            _descend(about.build(), about.inputs)
        except Exception:
            return
        raise


def _descend(model: nn.Module, inputs: InputSpec) -> None:
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    output = output_of(model.train(), inputs.example(BATCH, seed=9))
    nn.functional.cross_entropy(output.float(), torch.arange(BATCH)).backward()
    optimizer.step()
    model.eval()


def _again(found: Outcome, about: _Whole, model: nn.Module, removable: Removable) -> None:
    """Prune once more what was loaded and trained, as a run does that goes on, and judge it."""
    inputs = about.inputs
    with tempfile.TemporaryDirectory() as folder:
        marks = _marked(model, inputs)
        save(Checkpoint(about.architecture, model, {}), Path(folder))
        if all(group.units == 1 for group in left_of(model, inputs, removable)):
            return
        structured.prune(model, {}, replace(about.request(removable), step=2))
        whole = about.load(Path(folder))
    _believe(found, positions.judge(whole, marks, model, example(inputs)))


def _tell_kept(found: Outcome, about: _Whole, model: nn.Module, removable: Removable, multiplied: Uses) -> None:
    """Tell which layers keep all their units, and whether they may."""
    made = {module for group in removable.groups for module in group.modules} | _filters(model, removable.groups)
    made |= _tied(model, made)
    kept = spared_layers(model, about.request(removable), made)
    cost = sum(n for names, n in multiplied.items() if names and {module_of(name) for name in names} <= kept.keys())
    found.macs_kept = cost / max(1, found.macs)
    excuses = Excuses(model, about.inputs).of([name for name, why in kept.items() if why != OUT])
    for name, why in kept.items():
        excuse = OUT if why == OUT else excuses[name]
        place = found.excused if excuse else found.spared
        place.setdefault(excuse or why, []).append(name)


def _filters(model: nn.Module, groups: tuple[Group, ...]) -> set[str]:
    """Depthwise and grouped convolutions that go with the channels that they read."""
    parts = {module_of(part.parameter) for group in groups for part in group.parts}
    return {name for name, module in model.named_modules() if name in parts and getattr(module, "groups", 1) != 1}


def _tied(model: nn.Module, made: set[str]) -> set[str]:
    """Layers that share a weight with any of these."""
    own = {first for name, first in first_names(model).items() if module_of(name) in made}
    return {module_of(name) for name, first in first_names(model).items() if first in own}


def pruned_by_torch_pruning(build: Callable[[], nn.Module], inputs: InputSpec) -> Outcome:
    """The same step by torch-pruning's pruner, which is told which layers make the outputs; no round trip."""
    import torch_pruning

    found = Outcome()
    with _told(found):
        about = _Whole(ModelEntry("zoo", "of the zoo", build), inputs)
        model = about.build()
        marks = _marked(model, inputs)
        state = copy.deepcopy(model.state_dict())
        found.params, found.macs = params(model), total(uses(model, inputs))
        widths = {m: getattr(m, "out_features", getattr(m, "out_channels", 0)) for m in model.modules()}
        found.stage, started = "prune", time.perf_counter()
        torch_pruning.pruner.MagnitudePruner(
            model,
            inputs.example(),
            importance=torch_pruning.importance.MagnitudeImportance(p=2),
            pruning_ratio=FRACTION,
            ignored_layers=[module for module, width in widths.items() if width == CLASSES],
            output_transform=lambda out: getattr(out, "logits", out),
        ).step()
        found.seconds = time.perf_counter() - started
        found.stage = "compare"
        pruned = {name: tuple(p.shape) for name, p in model.named_parameters()}
        macs = _macs_of(model, inputs)
        whole = about.build()
        whole.load_state_dict(state)
        judged = positions.judge(whole, marks, model, example(inputs))
        found.difference, found.why, found.macs_left = judged.difference, judged.why, macs and macs / max(1, found.macs)
        found.verdict = judged.verdict
        norms = [name for name, m in model.named_modules() if isinstance(m, NORMS)]
        cut = [n for n in norms if any(pruned.get(f"{n}.{k}") != marks[f"{n}.{k}"].shape for k in _own(marks, n))]
        if judged.verdict == "differs" and cut:
            found.excused = {"norms over channels are narrower": cut}
    return found


NORMS = (nn.LayerNorm, nn.GroupNorm)


def _own(marks: positions.Marks, module: str) -> list[str]:
    return [key for key in ("weight", "bias") if f"{module}.{key}" in marks]


def _macs_of(model: nn.Module, inputs: InputSpec) -> int | None:
    try:
        return total(uses(model, inputs))
    except Exception:  # it does not run any more, which the comparison tells
        return None
