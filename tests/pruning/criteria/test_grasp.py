"""GraSP: what is removed takes least of the gradient, as removing it shows."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from prunebench.pruning.criteria.grasp import grasp
from prunebench.pruning.evidence.gather import evidence_for
from prunebench.pruning.registry import Request


def test_the_sign_is_such_that_removing_what_scores_lowest_adds_to_the_gradient(tiny_task, images12):
    torch.manual_seed(0)
    model = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 3), nn.Tanh(), nn.Linear(3, 3))
    request = Request(0.1, grasp, images12, task=tiny_task, calibration=60)
    scores = grasp(model[2].weight.detach(), evidence_for(model, request)["hessian_gradient"]["2.weight"])
    images, labels = next(tiny_task.batches("train", [tiny_task.targets.some("train", 60)], torch.device("cpu")))

    def flow():
        found = torch.autograd.grad(F.cross_entropy(model(images), labels), list(model.parameters()))
        return 0.5 * sum(g.double().square().sum() for g in found)

    def change(place, share=0.01):
        """What ½‖g‖² changes by, per share of a weight that is taken from it."""
        before, kept = flow(), model[2].weight.detach().clone()
        with torch.no_grad():
            model[2].weight.view(-1)[place] *= 1 - share
        after = flow()
        with torch.no_grad():
            model[2].weight.copy_(kept)
        return (after - before) / share

    order = scores.flatten().argsort()
    assert change(order[0]) > 0 > change(order[-1])
