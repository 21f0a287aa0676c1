"""Proof that blocks can go: on a copy with fresh weights in double precision, before anything is trained.

The model without them equals the one whose branches are at zero, in which exact blocks run with all of their parameters
at zero, and others hand on their first argument after they ran. What is left trains, comes back to the bit, and loses
more blocks. A block that fails is spared.
"""

from __future__ import annotations

import contextlib
import json
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from prunebench.errors import ConfigError
from prunebench.models.input_spec import InputSpec
from prunebench.models.passing import first_argument, pass_all_on, pass_on, passing_of
from prunebench.pruning.blocks.find import Block, find_blocks, zero
from prunebench.pruning.units.copies import fresh, hollow
from prunebench.pruning.units.groups import Spared
from prunebench.pruning.units.modes import forgetful, preserved
from prunebench.pruning.units.pace import Pace, patient, quiet
from prunebench.pruning.units.proof import variants
from prunebench.pruning.units.trial import TOLERANCE, Trial, difference, told, unlike


@dataclass(frozen=True)
class Blocks:
    """The blocks of a model that can go, and what is spared.

    Attributes:
        blocks: whose removal was proved on this very model.
        spared: modules of the same classes, and blocks that failed, with what went wrong.
        largest: the largest relative difference of outputs that the proof saw.
        problem: what does not work with all of them gone; empty where all does.
    """

    blocks: tuple[Block, ...]
    spared: tuple[Spared, ...]
    largest: float
    seconds: float
    problem: str = ""


def find_removable_blocks(
    model: nn.Module, inputs: InputSpec, *, pace: Pace = quiet, build: Callable[[], nn.Module] | None = None
) -> Blocks:
    """Find the blocks of a model, and prove that they can go; it is left as it was.

    Args:
        inputs: what it reads.
        pace: told how far it is, where it takes more than two seconds.
        build: builds the model anew, to see that what is left of it comes back; else a copy stands for that.
    """
    started = time.perf_counter()
    example = inputs.example()
    with warnings.catch_warnings(), preserved(model):
        warnings.simplefilter("ignore")
        blocks, spared = find_blocks(model, example)
        trial = Trial(model, variants(example), 0.0, 0, patient(pace))
        proved, failed = _sifted(trial, blocks)
        problem = _finish(trial, proved, build) if proved else ""
        if problem:
            faults = {block: _finish(trial, [block], build) for block in proved}
            failed = (*failed, *(Spared((block.name,), fault) for block, fault in faults.items() if fault))
            proved = tuple(block for block, fault in faults.items() if not fault)
            problem = _finish(trial, proved, build) if proved else ""
    return Blocks(proved, (*spared, *failed), trial.largest, time.perf_counter() - started, problem)


def check(model: nn.Module, inputs: InputSpec, doomed: Sequence[Block]) -> None:
    """Prove the removal of just these blocks of a model.

    Raises:
        ConfigError: it is not exact; the message names them.
    """
    with warnings.catch_warnings(), preserved(model):
        warnings.simplefilter("ignore")
        trial = Trial(model, variants(inputs.example())[:1], 0.0, 0)
        fault = _fault(trial, doomed, trial.variants)
    if fault is not None:
        names = [block.name for block in doomed][:4]
        raise ConfigError(
            f"Leaving out these blocks would change more than it does ({fault}): {', '.join(names)}. "
            f"Spare them: {' '.join(f'--exclude {name}' for name in names)}."
        )


def take(model: nn.Module, inputs: InputSpec, doomed: Sequence[Block]) -> None:
    """Remove blocks from a model, in place, after the removal of just these was proved; raises as `check`."""
    check(model, inputs, doomed)
    _remove(model, doomed)
    forgetful(model)


def _remove(model: nn.Module, doomed: Sequence[Block]) -> None:
    for block in doomed:
        pass_on(model.get_submodule(block.name), block.outputs)


def _sifted(trial: Trial, blocks: tuple[Block, ...]) -> tuple[tuple[Block, ...], tuple[Spared, ...]]:
    """The blocks that can go together, and those that cannot, and why."""
    if not blocks or _chain(trial, blocks) is None:
        return blocks, ()
    kept: list[Block] = []
    failed = []
    for block in blocks:
        fault = _fault(trial, [block], trial.variants)
        fault = fault or (_fault(trial, [*kept, block], trial.variants) if kept else None)
        if fault is None:
            kept.append(block)
        else:
            failed.append(Spared((block.name,), fault))
    return tuple(kept), tuple(failed)


def _chain(trial: Trial, blocks: Sequence[Block]) -> str | None:
    """What is wrong if every third of the blocks goes, then the next third of them, and at last all, or None."""
    for i, inputs in enumerate(trial.variants):
        last = i == len(trial.variants) - 1
        going = [block for j, block in enumerate(blocks) if last or j % 3 <= i]
        if (fault := _fault(trial, going, [inputs])) is not None:
            return fault
    return None


def _fault(trial: Trial, doomed: Sequence[Block], inputs: Sequence[Any]) -> str | None:
    """What is wrong if these blocks go, or None."""
    whole, pruned = trial.copy(), trial.copy()
    try:
        _remove(pruned, doomed)
        forgetful(pruned)
        for given in inputs:
            with without_branches(whole, doomed):
                wanted = trial.run(whole, given)
            if difference(wanted, trial.run(whole, given)) < TOLERANCE:
                return "the model gives the same without them, so that nothing is proved"
            apart = difference(trial.run(pruned, given), wanted)
            if not apart <= TOLERANCE:
                return f"the model without them and the one without their branches differ by {apart:.1g}"
            trial.largest = max(trial.largest, apart)
    except Exception as error:  # of a model of anybody's
        return f"without them it fails: {told(error)}"
    return None


@contextlib.contextmanager
def without_branches(model: nn.Module, blocks: Sequence[Block]) -> Iterator[None]:
    """Within, these blocks run, and give what they are given: exact ones since all of their parameters are zero."""

    def hand_on(module: nn.Module, args: Any, kwargs: Any, out: Any) -> Any:
        given = first_argument(module, args, kwargs)
        return (given, *out[1:]) if isinstance(out, tuple) else given

    modules = [(model.get_submodule(block.name), block.exact) for block in blocks]
    hooks = [m.register_forward_hook(hand_on, with_kwargs=True) for m, exact in modules if not exact]
    try:
        with zero([p for module, exact in modules if exact for p in module.parameters()]):
            yield
    finally:
        for hook in hooks:
            hook.remove()


def _finish(trial: Trial, blocks: Sequence[Block], build: Callable[[], nn.Module] | None) -> str:
    """Train a step, save and restore without these blocks; what went wrong, or an empty string."""
    pruned = trial.copy()
    _remove(pruned, blocks)
    pruned = fresh(pruned, trial.seed).eval()  # whose parameters are nobody else's
    if fault := trial.untrainable(pruned):
        return fault
    try:
        passing = json.loads(json.dumps(passing_of(pruned)))
        again = (hollow(trial.model) if build is None else build()).eval()
        pass_all_on(again, passing)
        again.load_state_dict(pruned.state_dict(), assign=True)
        again.double()
        before, after = trial.run(pruned, trial.variants[0]), trial.run(again, trial.variants[0])
    except Exception as error:  # of a model of anybody's
        return f"it cannot be restored without them: {told(error)}"
    return unlike(before, after)
