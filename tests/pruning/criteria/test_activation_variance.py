"""Units are ranked by the variance of their activations as their readers see them."""

from __future__ import annotations

import torch

from prunebench.pruning.evidence.gather import evidence_for
from prunebench.pruning.evidence.of_units import of_group
from prunebench.pruning.methods import structured
from prunebench.pruning.registry import Request, criteria


def test_scores_are_variances_over_samples_and_positions_however_large_means_are(tiny_net, tiny_task, images12):
    torch.manual_seed(0)
    model = tiny_net(3)
    with torch.no_grad():
        model.get_parameter("features.1.bias").add_(30)
    criterion = criteria.get("activation-variance").unit
    request = Request(0.25, criterion, images12, task=tiny_task, calibration=50, include=("features.0", "features.4"))
    evidence = evidence_for(model, request)
    images, _ = next(tiny_task.batches("train", [tiny_task.targets.some("train", 50)], torch.device("cpu")))
    model.eval().double()
    middle, flat = model.features[:4](images.double()), model.features(images.double())
    told_of = {
        "features.0": middle.var((0, 2, 3), correction=0),
        "features.4": flat.var(0, correction=0).view(12, -1).mean(1),  # each position has columns of its own
    }
    for group in structured.groups_of(model.float(), request):
        scores = criterion(of_group("activation_variances", model, group, evidence)).double()
        told = told_of[group.name]
        assert (scores - told).abs().max() <= 1e-5 * told.max()


def test_a_channel_that_is_always_the_same_goes_first_though_it_is_the_most_active(tiny_net, tiny_task, images12):
    model = tiny_net(3)
    with torch.no_grad():
        model.get_parameter("features.1.weight")[[2, 5]] = 0
        model.get_parameter("features.1.bias")[[2, 5]] = 9
    criterion = criteria.get("activation-variance").unit
    structured.prune(model, {}, Request(0.25, criterion, images12, task=tiny_task, include=("features.0",)))
    assert (model.get_parameter("features.1.bias") == 0).all()
