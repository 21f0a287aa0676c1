"""Statistics of batch norms are means over batches, each weighted by its values, and all else stays."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from prunebench.errors import ModelError
from prunebench.models.architecture import Architecture
from prunebench.models.checkpoint import Checkpoint
from prunebench.models.input_spec import InputSpec
from prunebench.training.optimizers import Recipe
from prunebench.training.retraining.bn_reestimate import lacks, norms_of, start

CPU = torch.device("cpu")
RECIPE = Recipe(epochs=1, batch_size=4, optimizer="sgd", lr=0.1, schedule="constant")


class Net(nn.Module):
    """A norm that is called twice, dropout, and a norm that is called in training alone."""

    def __init__(self):
        super().__init__()
        self.norm, self.drop, self.aside = nn.BatchNorm1d(3, momentum=0.3), nn.Dropout(0.5), nn.BatchNorm1d(3)
        self.running = nn.BatchNorm1d(3, track_running_stats=False)

    def forward(self, values):
        told = self.norm(values)
        told = self.norm(self.drop(told) + 1.0)
        return self.aside(told) if self.training else told


def parts(*sizes):
    torch.manual_seed(0)
    return [(3 * torch.randn(size, 3) + 1, torch.zeros(size)) for size in sizes]


def reestimated(model, batches):
    state = Checkpoint(Architecture("own", {}, InputSpec(kind="images", size=1)), model, {})
    start(state, lambda count: batches[:count], 5, RECIPE, CPU)
    return model


def test_they_are_what_the_batches_give_by_hand():
    model, batches = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5), nn.BatchNorm1d(3)).train(), parts(4, 4, 3)
    with torch.no_grad():
        model[0].running_mean.fill_(torch.nan)  # nothing of what was there counts
    reestimated(model, batches)
    rows = [values for values, _ in batches]
    assert torch.allclose(model[0].running_mean, torch.cat(rows).mean(0), atol=1e-6)  # exact, with a short last batch
    var = sum(len(values) * values.var(0) for values in rows) / 11
    assert torch.allclose(model[0].running_var, var, atol=1e-6)
    normal = [(values - values.mean(0)) / (values.var(0, unbiased=False) + 1e-5).sqrt() for values in rows]
    second = sum(len(values) * values.var(0) for values in normal) / 11
    assert torch.allclose(model[2].running_var, second, atol=1e-6)  # dropout is off
    assert torch.allclose(model[2].running_mean, torch.zeros(3), atol=1e-6)
    assert [norm.num_batches_tracked.item() for norm in norms_of(model)] == [3, 3]


def test_one_batch_of_everything_gives_the_statistics_of_the_samples():
    (values, _), model = parts(11)[0], nn.BatchNorm1d(3)
    reestimated(model, [(values, None)])
    assert torch.allclose(model.running_mean, values.mean(0), atol=1e-6)
    assert torch.allclose(model.running_var, values.var(0), atol=1e-6)


def test_as_many_batches_of_one_size_as_pytorchs_cumulative_average():
    batches, ours, theirs = parts(4, 4, 4), Net(), Net()
    theirs.norm.momentum = None
    reestimated(ours, batches)
    theirs.eval().norm.train()
    with torch.no_grad():
        for values, _ in batches:
            theirs(values)
    assert torch.allclose(ours.norm.running_mean, theirs.norm.running_mean, atol=1e-6)
    assert torch.allclose(ours.norm.running_var, theirs.norm.running_var, atol=1e-6)
    assert ours.norm.num_batches_tracked.item() == 6  # it is called twice in every pass


def test_parameters_modes_and_norms_that_are_not_called_stay_as_they_are():
    model = Net()
    with torch.no_grad():
        model.aside.running_mean.fill_(7.0)
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    reestimated(model, parts(4, 3))
    assert all(torch.equal(parameter, before[name]) for name, parameter in model.named_parameters())
    assert model.aside.running_mean.eq(7.0).all()
    assert (model.norm.momentum, model.norm.training, model.aside.momentum) == (0.3, False, 0.1)
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_batches_of_one_sample_are_refused_and_leave_the_modes():
    model = nn.Sequential(nn.BatchNorm1d(3))
    with pytest.raises(ModelError, match="larger --batch-size"):
        reestimated(model, parts(1))
    assert not model[0].training
    assert model[0].momentum == 0.1


def test_a_model_without_statistics_is_refused():
    bare = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3, track_running_stats=False))
    assert lacks(bare, None) == "the model has no batch norms that keep statistics"
    assert lacks(nn.Sequential(nn.BatchNorm1d(3)), None) == ""
