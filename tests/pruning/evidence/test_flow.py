"""Flow is conserved from layer to layer, and refused where it says nothing."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from prunebench.errors import ConfigError
from prunebench.models.input_spec import InputSpec
from prunebench.pruning.evidence.flow import synaptic_flow
from prunebench.pruning.evidence.gather import evidence_for
from prunebench.pruning.registry import Request


def plain():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, groups=2, bias=False),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, 6, bias=False),
        nn.ReLU(),
        nn.Linear(6, 3, bias=False),
    )


def test_the_scores_of_every_layer_sum_up_to_one(images12):
    torch.manual_seed(0)
    model = plain()
    found = synaptic_flow(model, images12)
    sums = [(p.detach().abs() * found[name]).sum().item() for name, p in model.named_parameters()]
    assert sums == pytest.approx([1] * 4, rel=1e-6)


def test_of_linear_layers_it_is_the_share_of_the_product_of_their_sizes():
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 4, bias=False), nn.ReLU(), nn.Linear(4, 2, bias=False))
    found = synaptic_flow(model, InputSpec(kind="images", size=2))
    first, last = (model[i].weight.detach().double().abs() for i in (1, 3))
    whole = (last @ first).sum()
    assert torch.allclose(found["1.weight"], last.sum(0)[:, None].expand(4, 12) / whole)
    assert torch.allclose(found["3.weight"], first.sum(1).expand(2, 4) / whole)


def test_the_model_stays_as_it_is_and_norms_count_with_their_sizes(tiny_net, images12):
    model = tiny_net(3).train()
    with torch.no_grad():
        model.get_parameter("features.1.weight").fill_(-2)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    found = evidence_for(model, Request(0.1, lambda synaptic_flow: synaptic_flow, images12))["synaptic_flow"]
    assert found["features.0.weight"].min() > 0
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(module.training for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


class Attends(nn.Module):
    def forward(self, x):
        return nn.functional.scaled_dot_product_attention(x, x, x)


@pytest.mark.parametrize(
    ("layer", "why"),
    [
        (nn.Softmax(1), "says nothing behind softmax, as in this model: give another"),
        (nn.LogSoftmax(1), "behind softmax"),
        (nn.GroupNorm(2, 8), "behind group norm"),
        (nn.LayerNorm(12), "behind layer norm"),
        (nn.ReLU6(), "behind ReLU6"),
        (nn.Sigmoid(), "behind sigmoid"),
        (nn.Hardsigmoid(), "behind sigmoid"),
        (nn.InstanceNorm2d(8), "behind norms over what passes"),
        (Attends(), "behind attention"),
    ],
)
def test_where_outputs_do_not_grow_with_what_flows_in_it_is_refused(layer, why, images12):
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), layer, nn.Flatten(), nn.Linear(1152, 3))
    with pytest.raises(ConfigError, match=why):
        synaptic_flow(model, images12)


@pytest.mark.parametrize("layer", [nn.ReLU(), nn.GELU(), nn.SiLU(), nn.Hardswish(), nn.LeakyReLU(), nn.BatchNorm2d(8)])
def test_behind_what_passes_large_values_on_flow_is_nearly_conserved(layer, images12):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False), layer, nn.Flatten(), nn.Linear(1152, 3, bias=False)
    )
    with torch.no_grad():
        model[0].weight.mul_(100)
    found = synaptic_flow(model, images12)
    sums = [(model.get_parameter(name).detach().abs() * flow).sum().item() for name, flow in found.items()]
    assert sums[0] == pytest.approx(1, abs=0.01)
    assert sums[-1] == pytest.approx(1, rel=1e-6)


def test_text_and_what_nothing_reaches_are_refused(images12):
    with pytest.raises(ConfigError, match="text has none: give another, such as grasp or snip"):
        synaptic_flow(nn.Embedding(5, 3), InputSpec(kind="text", vocabulary=5, length=4))
    model = plain()
    nn.init.zeros_(model[7].weight)
    with pytest.raises(ConfigError, match="of which nothing reaches this model's outputs"):
        synaptic_flow(model, images12)
