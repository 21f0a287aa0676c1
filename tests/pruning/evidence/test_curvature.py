"""Products with the Hessian are those of the whole matrix, and its diagonal is met in the mean."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from prunebench.errors import ConfigError
from prunebench.pruning.evidence import curvature, gather
from prunebench.pruning.registry import Request

SAMPLES = 40


def ask(hessian_diagonal, hessian_gradient):
    return hessian_gradient


def evidence(model, task, inputs):
    return gather.evidence_for(model, Request(0.1, ask, inputs, task=task, calibration=SAMPLES))


@pytest.fixture
def smooth():
    torch.manual_seed(0)
    layers = [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 3), nn.Tanh(), nn.Linear(3, 3)]
    return nn.Sequential(*layers)


def loss_of(model, task):
    """The mean loss of the samples in double precision, as a function of all parameters side by side."""
    names, shapes = zip(*[(name, p.shape) for name, p in model.named_parameters()], strict=True)
    images, labels = next(task.batches("train", [task.targets.some("train", SAMPLES)], torch.device("cpu")))

    def loss(flat):
        values = [part.view(shape) for part, shape in zip(flat.split([s.numel() for s in shapes]), shapes, strict=True)]
        given = dict(zip(names, values, strict=True))
        return F.cross_entropy(torch.func.functional_call(model, given, images.double()), labels)

    return loss, flat(dict(model.named_parameters())).detach().double()


def flat(values):
    return torch.cat([value.flatten() for value in values.values()])


def test_the_product_with_the_gradient_is_that_of_the_matrix(smooth, tiny_task, images12):
    loss, at = loss_of(smooth, tiny_task)
    product = torch.autograd.functional.hessian(loss, at) @ torch.func.grad(loss)(at)
    found = flat(evidence(smooth, tiny_task, images12)["hessian_gradient"])
    assert (found - product).abs().max() <= 1e-5 * product.abs().max()


def test_along_the_gradient_half_its_square_changes_as_the_product_says(smooth, tiny_task, images12):
    loss, at = loss_of(smooth, tiny_task)
    gradient, step = torch.func.grad(loss), 1e-5
    g = gradient(at)
    ahead, behind = (0.5 * gradient(at + sign * step * g).square().sum() for sign in (1, -1))
    found = flat(evidence(smooth, tiny_task, images12)["hessian_gradient"]).double()
    assert (found @ g).item() == pytest.approx(((ahead - behind) / (2 * step)).item(), rel=1e-5)


def test_the_diagonal_is_met_in_the_mean_as_closely_as_so_many_probes_do(smooth, tiny_task, images12, monkeypatch):
    monkeypatch.setattr(curvature, "PROBES", 300)
    monkeypatch.setattr(curvature, "TOGETHER", SAMPLES)
    loss, at = loss_of(smooth, tiny_task)
    hessian = torch.autograd.functional.hessian(loss, at)
    beside = (hessian - hessian.diagonal().diag()).square().sum(1)
    found = flat(evidence(smooth, tiny_task, images12)["hessian_diagonal"])
    deviations = (found - hessian.diagonal()) / (beside / 300).sqrt()
    assert deviations.abs().max() < 4
    assert 0.5 < deviations.square().mean() < 2  # they hang together, as rows of H do


def test_of_a_hessian_without_anything_beside_its_diagonal_it_is_exact(images12):
    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.randn(5))

        def forward(self, x):
            return (self.scale * x).pow(3)

    class Targets:
        def some(self, part, count):
            return torch.arange(count)

        def __getitem__(self, part):
            return torch.arange(70)

    class Cubes:
        inputs, targets = images12, Targets()
        objective = SimpleNamespace(mass=len, loss=F.mse_loss)

        def batches(self, part, chunks, device):
            return ((x[chunk], torch.ones(len(chunk), 5)) for chunk in chunks)

    x, model, task = torch.randn(70, 5), Scale(), Cubes()
    found = curvature.hessian_diagonal(model, task, 70)["scale"]
    s = model.scale.detach()
    exact = ((18 * s**4 * x**6 + 12 * s * x**3 * ((s * x) ** 3 - 1)).mean(0)) / 5
    assert torch.allclose(found, exact, rtol=1e-4)


def test_probes_are_the_same_whenever_they_are_asked_for(smooth, tiny_task, images12):
    first, again = (evidence(smooth, tiny_task, images12)["hessian_diagonal"] for _ in range(2))
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_attention_has_second_derivatives_and_an_operator_without_is_told_of(tiny_task, images12):
    class Attends(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(36, 8), nn.Linear(8, 3)

        def forward(self, images):
            x = self.first(images.reshape(len(images), 12, 36))[:, None]
            return self.last(F.scaled_dot_product_attention(x, x, x)[:, 0].mean(1))

    class Once(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx, gradient):
            return 1.0 * gradient

    class Straight(Attends):
        def forward(self, images):
            return Once.apply(super().forward(images))

    found = evidence(Attends(), tiny_task, images12)["hessian_gradient"]
    assert found["first.weight"].abs().sum() > 0
    with pytest.raises(ConfigError, match="second derivatives, which an operator of this model does not have"):
        evidence(Straight(), tiny_task, images12)
