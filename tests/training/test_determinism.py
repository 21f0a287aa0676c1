"""Where an operation has no deterministic kernel, its layer is named before anything is trained."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from prunebench import prune, train
from prunebench.errors import DeviceError
from prunebench.training.determinism import check_deterministic, deterministic_or_told


class Unpooling(nn.Module):
    """Pools, and puts the largest back: max_unpool2d has no deterministic kernel anywhere."""

    def forward(self, images):
        return F.max_unpool2d(*F.max_pool2d(images, 2, return_indices=True), 2)


class Put(torch.autograd.Function):
    """Does in its backward pass what has no deterministic kernel anywhere."""

    @staticmethod
    def forward(ctx, values):
        return values.clone()

    @staticmethod
    def backward(ctx, gradient):
        torch.zeros(3).put_(torch.tensor([1]), torch.ones(1))
        return gradient


class Backward(nn.Module):
    """A layer that only its gradient is a problem of."""

    def forward(self, values):
        return Put.apply(values)


def build(layer):
    """A small net around a layer."""
    return lambda classes: nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.Sequential(nn.ReLU(), layer()), nn.Flatten(), nn.Linear(576, classes)
    )


@pytest.fixture(autouse=True)
def _usual_algorithms():
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize(
    ("layer", "operation"),
    [(Unpooling, "max_unpooling2d_forward_out"), (Backward, "put_")],
    ids=["forward", "backward"],
)
def test_the_operation_and_the_layer_are_named_and_nothing_is_trained(layer, operation, tiny_config):
    ticks = []
    config = tiny_config(model=build(layer), deterministic=True, method="unstructured")
    with pytest.raises(DeviceError, match=rf"^--deterministic: {operation} of layer 1.1 has no .* on cpu\. Leave"):
        train(config, progress=ticks.append)
    assert [tick for tick in ticks if tick.phase == "train"] == []


def test_without_it_such_a_layer_trains(tiny_config):
    config = tiny_config(model=build(Backward), method="unstructured", iterations=1, epochs=1)
    assert len(list(prune(config))) == 2


def test_what_draws_numbers_draws_what_it_would_have_drawn_without_the_look(tiny_net, tiny_task):
    torch.use_deterministic_algorithms(True)
    model, (inputs, targets) = tiny_net(3), next(tiny_task.batches("train", [torch.arange(4)], torch.device("cpu")))
    state, before = torch.get_rng_state(), {name: value.clone() for name, value in model.state_dict().items()}
    check_deterministic(model, inputs, targets, tiny_task.objective)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_elsewhere_the_operation_is_named_and_other_errors_are_as_they_are():
    cpu = torch.device("cpu")
    torch.use_deterministic_algorithms(True)
    with pytest.raises(DeviceError, match="--deterministic: put_ has no"), deterministic_or_told(cpu):
        torch.zeros(3).put_(torch.tensor([1]), torch.ones(1))
    with pytest.raises(RuntimeError, match="another"), deterministic_or_told(cpu):
        raise RuntimeError("another")
