"""Units are ranked by their mean activation as their readers see it."""

from __future__ import annotations

import torch

from prunebench.pruning.evidence.gather import evidence_for
from prunebench.pruning.evidence.of_units import of_group
from prunebench.pruning.methods import structured
from prunebench.pruning.registry import Request, criteria


def test_scores_are_mean_sizes_behind_norm_and_non_linearity(tiny_net, tiny_task, images12):
    torch.manual_seed(0)
    model = tiny_net(3)
    criterion = criteria.get("activation").unit
    request = Request(0.25, criterion, images12, task=tiny_task, calibration=30, include=("features.0", "features.4"))
    evidence = evidence_for(model, request)
    images, _ = next(tiny_task.batches("train", [tiny_task.targets.some("train", 30)], torch.device("cpu")))
    model.eval()
    read = {"features.0": model.features[:4](images), "features.4": model.features[:8](images)}
    for group in structured.groups_of(model, request):
        scores = criterion(of_group("activations", model, group, evidence))
        assert torch.allclose(scores, read[group.name].abs().mean((0, 2, 3)), rtol=1e-5)


def test_channels_that_are_never_active_go_first(tiny_net, tiny_task, images12):
    model = tiny_net(3)
    with torch.no_grad():
        model.get_parameter("features.1.weight")[[2, 5]] = 0
        model.get_parameter("features.1.bias")[[2, 5]] = -1
    criterion = criteria.get("activation").unit
    structured.prune(model, {}, Request(0.25, criterion, images12, task=tiny_task, include=("features.0",)))
    assert (model.get_parameter("features.1.bias") == 0).all()
