"""The loss of distillation is the one that its formula gives by hand."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from prunebench.data.classification import Classification
from prunebench.training.retraining.distil import lacks, loss


class Says(nn.Module):
    """Answers the same logits to everything."""

    def __init__(self, *logits):
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, inputs):
        return self.logits


def test_the_divergence_is_that_of_softened_answers():
    # teacher log 4 : 0 at T = 2 has shares 2/3 and 1/3, the student 1/2 and 1/2
    found = Classification(2).divergence(torch.tensor([[0.0, 0.0]]), torch.tensor([[math.log(4), 0.0]]), 2.0)
    assert float(found) == pytest.approx(2 / 3 * math.log(4 / 3) + 1 / 3 * math.log(2 / 3), abs=1e-7)


def test_the_loss_weighs_the_tasks_against_the_divergence_times_the_squared_temperature():
    teacher = Says([math.log(4), 0.0], [0.0, 0.0])
    mixed = loss(Classification(2), lambda: teacher, 2.0, 0.75)
    output, labels = torch.zeros(2, 2, requires_grad=True), torch.tensor([0, 1])
    found = mixed(None, output, labels)
    apart = (2 / 3 * math.log(4 / 3) + 1 / 3 * math.log(2 / 3)) / 2  # a mean of two samples, one of them equal
    assert found.item() == pytest.approx(0.25 * math.log(2) + 0.75 * 4 * apart, abs=1e-7)
    found.backward()
    assert teacher.logits.grad is None
    # d/dz = (1−w)(softmax(z) − y)/n + w·T·(softmax(z/T) − softmax(t/T))/n
    assert output.grad[0, 0].item() == pytest.approx(0.25 * -0.5 / 2 + 0.75 * 2 * (1 / 2 - 2 / 3) / 2, abs=1e-7)


def test_of_equal_answers_and_a_weight_of_one_nothing_is_lost():
    output = torch.tensor([[3.0, -1.0, 0.5]])
    mixed = loss(Classification(3), lambda: Says(*output.tolist()), 4.0, 1.0)
    assert mixed(None, output, torch.tensor([2])).item() == 0


def test_a_task_without_classes_is_refused():
    assert "classes" in lacks(nn.Linear(1, 1), SimpleNamespace(arguments={"outputs": 3}))
    assert lacks(nn.Linear(1, 1), Classification(3)) == ""
