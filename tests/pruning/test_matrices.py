"""Tensors of weights are seen as they are multiplied: a row per output, a column per input."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from prunebench.pruning.matrices import matrices, matrix_of


def weights(model, images, name):
    matrix = matrices(model, images)[name]
    return model.get_parameter(name).detach().flatten()[matrix.index], matrix.inputs


@pytest.mark.parametrize("layer", [nn.Linear(432, 5), Conv1D(5, 432)], ids=["rows", "turned"])
def test_a_row_is_an_output_wherever_a_layer_has_its_outputs(layer, images12):
    found, inputs = weights(nn.Sequential(nn.Flatten(), layer), images12, "1.weight")
    weight = layer.weight.detach()
    assert torch.equal(found, weight if weight.shape[0] == 5 else weight.T)
    assert inputs == 432


@pytest.mark.parametrize(("groups", "shape"), [(1, (6, 27)), (3, (6, 9))])
def test_of_a_convolution_inputs_at_the_same_place_of_the_kernel_stand_side_by_side(groups, shape, images12):
    model = nn.Sequential(nn.Conv2d(3, 6, 3, groups=groups), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    found, inputs = weights(model, images12, "0.weight")
    assert found.shape == shape
    assert inputs == 3 // groups
    assert torch.equal(found, model[0].weight.detach().permute(0, 2, 3, 1).flatten(1))


def test_a_batch_of_matrices_has_the_outputs_of_all():
    rows = torch.stack([torch.arange(4).expand(3, 4), 4 + torch.arange(4).expand(3, 4)])
    matrix = matrix_of(rows)
    assert matrix.index.shape == (8, 3)
    assert matrix.index[5].tolist() == [13, 17, 21]


def test_the_model_stays_in_its_mode_and_what_others_are_computed_of_has_no_matrix(images12):
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(432, 3))
    model = nn.Sequential(nn.Flatten(), layer).train()
    assert matrices(model, images12) == {}
    assert model.training
    assert layer.training
