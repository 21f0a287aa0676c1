"""Sensitivity: each layer of a trained model pruned alone at several shares, and scored without training.

The first picture that users of pruning draw: Han et al. 2015 (figure 6) and Li et al. 2017 (figure 2) choose by it how
much each layer may lose. What is scored is a fixed stratified part of what is held out of the training data, and where
nothing is, of the training data itself, never of the test data: shares are chosen by it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any, Literal

from prunebench.errors import ConfigError, Stopped
from prunebench.experiment.cells import Cells
from prunebench.experiment.experiment import Experiment
from prunebench.experiment.setup import Setup, set_up
from prunebench.experiment.starts.checkpoints import start_of
from prunebench.models import checkpoint
from prunebench.models.checkpoint import Checkpoint
from prunebench.models.masks import Masks
from prunebench.models.taken_over import copied
from prunebench.models.undisturbed import undisturbed
from prunebench.pruning.evidence.gather import evidence_for
from prunebench.pruning.registry import Alone, methods, needs, of_samples
from prunebench.records import Scores, SensitivityRecord
from prunebench.registry import content, reference
from prunebench.runs.run import Run
from prunebench.training.fit import Progress, Stop, Tick
from prunebench.training.policies import tuned_recipe

SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)
SAMPLES = 500
"""Samples that are scored, at most: half of a 95 % interval is at most 4.4 points then."""


def check_method(experiment: Experiment) -> None:
    """Raise ConfigError where nothing of a model can be pruned alone."""
    method = experiment.method
    if method.alone is None:
        fit = " or ".join(name for name in methods.names() if methods.get(name).alone is not None)
        raise ConfigError(f"sensitivity prunes shares of layers, which --method {method.name} does not; give {fit}.")


@undisturbed
def sensitivity(
    experiment: Experiment,
    run: Run,
    shares: Sequence[float] = SHARES,
    *,
    samples: int = SAMPLES,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> Iterator[SensitivityRecord]:
    """Prune each layer, or group of units, alone by each share; yield what the model scores then.

    The unpruned model is that of step 0 of the run. Each share goes in one step, by the method and criterion of the
    experiment. What was found before is not computed again.

    Args:
        experiment: how is pruned.
        run: the dense run.
        shares: of what each layer has, between 0 and 1.
        samples: how many are scored, at most.
        progress: told how far the work is.
        stop: asked after every batch whether to stop.

    Raises:
        ConfigError: nothing can be pruned alone.
        Stopped: `stop` asked for it; the same call goes on from there.
    """
    check_method(experiment)
    state = checkpoint.load(run.checkpoint(0), experiment.model)
    setup = set_up(experiment, start_of(state), progress, stop)
    cells = Cells(experiment.settings.runs_dir, _deciding(setup, run, samples))
    setup.place(state.model)
    assert experiment.method.alone is not None
    request = setup.request(1, state)
    if request.rounds == 1:
        request = replace(request, evidence=evidence_for(state.model, request))
    parts = experiment.method.alone(state.model, request)
    about, part = _about(experiment, run), _part(experiment)
    dense: Scores | None = None
    for i, (each, share) in enumerate(itertools.product(parts, shares)):
        if (cell := cells.get(each.name, share)) is None:
            setup.progress(Tick(each.name, 0, 0, 1, i, len(parts) * len(shares), None, "", 0.0))
            if setup.stop():
                raise Stopped(f"Stopped before {each.name} was pruned by {share:g}.")
            dense = dense or setup.sampled(state, part, samples)
            units, left, pruned = _pruned(setup, state, each, share)
            of: dict[str, Any] = {"layer": each.name, "kind": each.kind, "share": share, "part": part}
            scores = setup.sampled(pruned, part, samples)
            cell = SensitivityRecord(**about, **of, units=units, left=left, dense=dense, scores=scores)
            cells.add(cell)
        dense = cell.dense
        yield cell


def _about(experiment: Experiment, run: Run) -> dict[str, Any]:
    """What all cells have in common."""
    settings = experiment.settings
    names = {name: reference(getattr(settings, name)) for name in ("model", "dataset", "criterion")}
    return {**names, "run": run.key, "method": experiment.method.name, "seed": settings.seed}


def _part(experiment: Experiment) -> Literal["train", "validation"]:
    """The part of the data that is scored."""
    return "validation" if experiment.settings.validation else "train"


def _pruned(setup: Setup, state: Checkpoint, each: Alone, share: float) -> tuple[int, int, Checkpoint]:
    """The units that there were and are left of one layer, and a copy of a model of which that share of it is gone."""
    method, request = setup.experiment.method, replace(each.request, fraction=share)
    masks: Masks = {name: mask.to(setup.device) for name, mask in state.masks.items()}
    model = copied(state.model)
    before = sum(method.count(model, masks, request).values())
    masks = method.prune(model, masks, request).masks
    left = sum(method.count(model, masks, request).values())
    return before // each.counts, left // each.counts, replace(state, model=model, masks=masks)


def _deciding(setup: Setup, run: Run, samples: int) -> dict[str, object]:
    """All that decides what is found of a layer, but for the share."""
    settings = setup.experiment.settings
    here = setup.environment("prune")
    looked: list[object] = [settings.calibration] if of_samples(needs(setup.experiment.ranking)) else []
    if "movement" in needs(setup.experiment.ranking):
        recipe = asdict(replace(tuned_recipe(settings), epochs=1))  # however many a step takes
        looked.append({name: value for name, value in recipe.items() if name != "updates"})
    return {
        "run": run.key,
        "files": {name: digest for name, digest in run.files().items() if "/000/" in f"/{name}"},
        "criterion": [reference(settings.criterion), content(settings.criterion), *looked],
        "part": [_part(setup.experiment), samples, settings.batch_size],
        "machine": [here.device, here.threads, here.versions],
        **{
            name: getattr(settings, name)
            for name in ("method", "seed", "include", "exclude", "dtype", "prune", "through_norms", "targets")
        },
    }
