"""The plan: what a run will do, in a few lines, before it does it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from prunebench.config import AS_TRAINED, Settings, default
from prunebench.experiment.experiment import Experiment
from prunebench.pruning.amounts import left, named, target
from prunebench.pruning.evidence import COSTS
from prunebench.pruning.registry import needs
from prunebench.pruning.turns import in_turn
from prunebench.records import Summary
from prunebench.registry import reference
from prunebench.runs.digests import counted, shown
from prunebench.runs.run import Run
from prunebench.training.policies import Policy

NAMED = 4
"""Names that a line holds; others are counted."""


NORMED = "in {} of them a norm follows the sum, and goes as well: they hand on what they are given, norms and all"
"""What is said beside a proof where more than a branch goes."""

TIMED = (
    "of units are measured on this machine at batch 1, once and before anything is trained, about a second for each "
    "group of layers; the run keeps them, and two runs of the same settings may remove other units"
)
"""What is said where units are ranked by latency."""

THROUGH_NORMS = "there norms average over the channels that are left, which is not what they did before"
"""What is said beside a proof where channels go that norms average over."""


def training_plan(experiment: Experiment) -> Iterator[str]:
    """Lines on a training run."""
    settings, run = experiment.settings, experiment.dense
    yield f"train {_what(experiment)}"
    start = _start(experiment)
    if settings.freeze:
        start += ", the classifier alone"
    epochs = f"{counted(settings.epochs, 'epoch')} of {settings.optimizer}, lr {settings.lr:g}, {settings.schedule}"
    weighted = "" if settings.class_weights == "none" else f", class weights {settings.class_weights}"
    how = f"{epochs}, batch {settings.batch_size}{weighted}"
    how = how if settings.epochs else "taken as they are, nothing is trained"
    yield f"  from     {start}: {how}"
    yield from _told(settings)
    state = "finished" if run.steps() else _begun(run) or "new"
    yield f"  run      {run.key} in {run.root} ({state}{_data(run, experiment)})"


def pruning_plan(experiment: Experiment) -> Iterator[str]:
    """Lines on a pruning run and the dense run that it starts from."""
    settings, run, dense, method = experiment.settings, experiment.run, experiment.dense, experiment.method
    yield f"prune {_what(experiment)}"
    untrained = "fresh weights, nothing is trained before they are pruned"
    yield f"  dense    {dense.key} ({untrained if experiment.fresh else _trained(dense, settings.epochs)})"
    yield f"  method   {settings.method}, criterion {reference(settings.criterion)}"
    yield from (f"  scores   {cost}" for cost in _costs(experiment))
    if settings.by == "latency":
        yield f"  costs    {TIMED}"
    yield f"  schedule {'at most ' if settings.until else ''}{schedule(experiment)}"
    if settings.until:
        yield f"  until    {' and '.join(settings.until)}"
    if settings.validation:
        yield f"  held out {100 * settings.validation:g} % of the training data, to select on"
    if method.masks and in_turn(experiment.ranking, settings.scope, untrained=not experiment.retrained):
        yield "  layers   one after the other, each by what it reads once those before it are pruned"
    yield from _retraining(settings, experiment.policy)
    yield from _told(settings)
    done = len([step for step in run.steps() if step <= settings.iterations])
    state = f"{done} of {settings.iterations + 1} steps are there" if done else _begun(run) or "new"
    yield f"  run      {run.key} in {run.root} ({state}{_data(run, experiment)})"


def _told(settings: Settings) -> Iterator[str]:
    """Which trackers are told of each epoch and step."""
    if settings.track:
        yield f"  track    {', '.join(reference(each) for each in settings.track)}"


def _retraining(settings: Settings, policy: Policy) -> Iterator[str]:
    """How a pruned model recovers."""
    own = "".join(f", {name.replace('_', ' ')} {getattr(settings, name):g}" for name in policy.uses)
    if policy.name != default("retrain"):
        yield f"  retrain  {policy.name}{own}: {policy.summary}"
    if not (recipe := policy.recipe_of(settings)).epochs:
        yield "  tuning   none"
        return
    more = ""
    if policy.tunes(settings.epochs):
        apart = {name: getattr(settings, f"finetune_{name}") for name in AS_TRAINED}
        more = "".join(f", {name.replace('_', ' ')} {value:g}" for name, value in apart.items() if value is not None)
        more += f", warm-up {100 * recipe.warmup:g} % of the batches" if recipe.warmup else ""
    how = f"{recipe.optimizer}, lr {recipe.lr:g}, {recipe.schedule}, batch {recipe.batch_size}{more}"
    once = "" if settings.every is None else ", one schedule over all steps"
    least = f", {recipe.updates} batches at least," if recipe.updates else ""
    yield f"  tuning   {counted(recipe.epochs, 'epoch')} per step{least} of {how}{once}"


def _costs(experiment: Experiment) -> Iterator[str]:
    """What each step takes for what its criterion asks for, where that is more than a pass over some samples."""
    asked = needs(experiment.ranking) if experiment.method.removes else ()
    about = {"samples": experiment.settings.calibration, "rounds": experiment.criterion.rounds}
    for kind in asked:
        if kind in COSTS:
            yield f"{kind.replace('_', ' ')} takes {COSTS[kind].format(**about)} in each step"


def schedule(experiment: Experiment) -> str:
    """`10 × 0.1 → 34.9 % of channels`; `10 × nothing removed` of a control; and what goes otherwise in some layers."""
    settings, method = experiment.settings, experiment.method
    if not method.removes:
        return f"{settings.iterations} × nothing removed"
    share = 100 * left(settings, method, settings.iterations)
    units = " and ".join(settings.prune) or method.units[experiment.model.reads]
    if target(settings) is None:
        text = f"{settings.iterations} × {settings.fraction:g} → {share:.3g} % of {units}"
    else:
        of = "MACs" if settings.macs else "parameters" if settings.compression and not method.masks else units
        steps = counted(settings.iterations, "iteration")
        text = f"{steps}, {settings.sparsity_schedule} → {share:.3g} % of the original {of}"
        if "pattern" in named(settings):
            text = f"{settings.pattern} → {share:.3g} % of the weights of every layer whose inputs it divides"
    if settings.layer_fraction:
        text += f"; other fractions: {', '.join(settings.layer_fraction)}"
    of = " of that share" if method.masks else ""
    return text + (f"; every layer keeps {100 * settings.floor:g} %{of} at least" if settings.floor else "")


def summary_lines(summary: Summary) -> Iterator[str]:
    """What a run took its data, weights and model for, in a few lines."""
    *firsts, last = summary.parts.items()
    counts = [*(f"{name} {part.samples:,}" for name, part in firsts), f"{last[0]} {counted(last[1].samples, 'sample')}"]
    train, test = summary.parts["train"], summary.parts["test"]
    each = f"{train.fewest:,}" if train.fewest == train.most else f"{train.fewest:,} to {train.most:,}"
    largest = f", {100 * test.most / test.samples:.1f} % of test of the largest class"
    digest = f", digest {summary.digest[:10]}" if summary.digest else ""
    names = f" ({some([shown(name) for name in summary.classes])})" if summary.classes else ""
    of = f"{', '.join(counts)} of {counted(train.classes, 'class')}{names}"
    yield f"  data     {summary.data}: {of}, {each} of each in train{largest}{digest}"
    yield from (f"           {note}" for note in summary.left_out)
    yield from (f"  {'weights' if i == 0 else '       '}  {note}" for i, note in enumerate(summary.weights))
    if summary.mean:
        mean, std = (", ".join(f"{value:.4g}" for value in values) for values in (summary.mean, summary.std))
        yield f"           images are normalised with mean ({mean}) and standard deviation ({std})"
    yield f"  model    {summary.params:,} parameters, {summary.macs:,} MACs"
    if summary.reached_params:
        shares = (summary.reached_params / summary.params, summary.reached_macs / max(1, summary.macs))
        weights, cost = (f"{100 * share:.1f} %" for share in shares)
        yield f"           pruning can reach {weights} of the parameters, and layers with {cost} of the MACs"
    if (proof := summary.proof) is not None:
        other = "the model with these branches at zero" if proof.blocks else "masked model"
        exact = f"pruned and {other} differ by {proof.difference:.1g} at most, in double precision"
        what = counted(proof.blocks, "block") if proof.blocks else f"{proof.groups} groups of units"
        yield f"           removal proved exact on this model: {what}; {exact}"
        if proof.normed:
            yield f"           {NORMED.format(proof.normed)}"
        if proof.through_norms:
            yield f"           {THROUGH_NORMS}"
    reasons: dict[str, list[str]] = {}
    for name, why in summary.spared.items():
        reasons.setdefault(why, []).append(name)
    for why, spared in reasons.items():
        count = summary.spared_params.get(why)
        share = "" if count is None else f": {100 * count / summary.params:.1f} % of the parameters"
        yield f"           spared: {some(spared)} ({why}){share}"
    yield from (f"           {doubt}" for doubt in summary.doubts)


def some(names: Sequence[str]) -> str:
    """`conv1, conv2, fc1, fc2 and 3 more`."""
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


def _start(experiment: Experiment) -> str:
    origin, weights = experiment.origin, experiment.settings.weights
    if origin.kind == "config" and origin.run is not None:
        epochs = origin.run.manifest.config.get("epochs")
        return f"{Path(weights).name}, run {origin.run.key} ({_trained(origin.run, epochs)})"
    return "fresh weights" if origin.kind == "none" else f"weights {weights}"


def _data(run: Run, experiment: Experiment) -> str:
    """`; data 3f2a91c04b`: the beginning of the digest of what the run is computed with."""
    if digest := run.manifest.contents.get("data"):
        return f"; data {digest[:10]}"
    return "; its key is another once the data is here" if experiment.data.downloads else ""


def _trained(run: Run, epochs: object) -> str:
    if epochs == 0:
        return "weights as they are, nothing is trained"
    return "trained" if run.steps() else "will be trained first"


def _begun(run: Run) -> str:
    return "begun, and goes on" if run.begun else ""


def _what(experiment: Experiment) -> str:
    settings = experiment.settings
    sizes = {"text": f"up to {settings.sequence_length} tokens, ", None: ""}
    size = sizes.get(experiment.data.reads, f"{settings.image_size} px, ")
    what = f"{reference(settings.model)} on {reference(settings.dataset)}"
    return f"{what}: {size}{settings.dtype}, seed {settings.seed}"
