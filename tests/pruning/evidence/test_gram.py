"""Gram matrices are those of what weights read, wherever they live, and parts are put back where they were."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from prunebench.errors import ConfigError
from prunebench.models import memory
from prunebench.models.input_spec import InputSpec
from prunebench.pruning.evidence import OF_INPUTS
from prunebench.pruning.evidence.gram import gram_of, order_of
from prunebench.pruning.evidence.inputs import of_inputs


def task_of(data):
    """A task of given samples."""
    return SimpleNamespace(
        inputs=InputSpec(kind="images", size=12),
        targets=SimpleNamespace(some=lambda part, count: torch.arange(min(count, len(data)))),
        batches=lambda part, chunks, device: ((data[chunk], None) for chunk in chunks),
    )


def told(model, data, name="weight"):
    return gram_of(model.eval(), task_of(data), name, len(data), batch=7)


def check(gram, parameter, expected):
    """Each part's matrix is as expected, and its outputs are those of the weights that it shows."""
    assert len(gram.parts) == len(expected)
    split = gram.split(parameter, parameter.detach())
    assert torch.equal(gram.joined(parameter, split), parameter)
    for part, shown, (weight, read) in zip(gram.parts, split, expected, strict=True):
        assert torch.equal(shown, weight)
        assert torch.allclose(part.gram, read.double().mT @ read.double(), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("features", [(5, 3), (1, 4), (4, 1)], ids=str)
def test_of_a_linear_layer_it_is_that_of_all_that_it_reads(features):
    model, data = nn.Linear(*features), torch.randn(20, 4, features[0])
    check(told(model, data), model.weight, [(model.weight[None], data.reshape(1, -1, features[0]))])


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("form", [(1, 0, 1), (2, 1, 1), (1, 2, 2), ((2, 1), (0, 1), (1, 2))], ids=str)
def test_of_convolutions_it_is_that_of_the_patches_of_each_group(groups, form, layout):
    stride, padding, dilation = form
    model = nn.Conv2d(4, 8, (3, 2), stride, padding, dilation, groups).to(memory_format=layout)
    data = torch.randn(10, 4, 9, 8).to(memory_format=layout)
    read = F.unfold(data, (3, 2), dilation, padding, stride).transpose(1, 2).reshape(-1, groups, 24 // groups)
    weight = model.weight.reshape(groups, 8 // groups, -1)
    check(told(model, data), model.weight, [(weight, read.transpose(0, 1))])


def test_of_convolutions_in_one_and_three_dimensions_too():
    for model, data in (
        (nn.Conv1d(3, 4, 3, 2, 1), torch.randn(9, 3, 8)),
        (nn.Conv3d(2, 3, 2), torch.randn(9, 2, 4, 3, 5)),
    ):
        gram, weight = told(model, data), model.weight.flatten(1).detach()
        outputs = (model(data) - model.bias.view(-1, *[1] * (data.ndim - 2))).transpose(0, 1).flatten(1).double()
        (part,) = gram.parts
        assert torch.allclose(weight.double() @ part.gram[0] @ weight.T.double(), outputs @ outputs.T, rtol=1e-4)


def test_of_weights_that_lie_the_other_way_round_rows_are_outputs_still():
    from transformers.pytorch_utils import Conv1D

    model, data = Conv1D(3, 5), torch.randn(20, 4, 5)
    check(told(model, data), model.weight, [(model.weight.T[None], data.reshape(1, -1, 5))])


def test_of_attention_it_is_one_where_all_read_the_same_and_else_one_for_each():
    class Net(nn.Module):
        def __init__(self, memory):
            super().__init__()
            self.attention, self.memory = nn.MultiheadAttention(6, 2, batch_first=True), memory

        def forward(self, x):
            key, value = (2 * x, 3 * x) if self.memory else (x, x)
            return self.attention(x, key, value)[0]

    data = torch.randn(9, 5, 6)
    read, alone, apart = data.reshape(1, -1, 6), Net(False), Net(True)
    weight = alone.attention.in_proj_weight
    check(told(alone, data, "attention.in_proj_weight"), weight, [(weight[None], read)])
    weight = apart.attention.in_proj_weight
    parts = [(part[None], (i + 1) * read) for i, part in enumerate(weight.chunk(3))]
    check(told(apart, data, "attention.in_proj_weight"), weight, parts)


def test_what_a_weight_reads_in_several_places_adds_up_and_a_look_up_is_none():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(7, 5)

        def forward(self, x):
            return F.linear(x, self.table.weight), F.linear(2 * x, self.table.weight), self.table(torch.tensor([1]))

    model, data = Tied(), torch.randn(20, 5)
    weight = model.table.weight
    check(told(model, data, "table.weight"), weight, [(weight[None], torch.cat([data, 2 * data])[None])])


def test_stacked_weights_are_groups_and_what_no_sample_reaches_reads_nothing():
    class Experts(nn.Module):
        def __init__(self):
            super().__init__()
            self.heads, self.experts = nn.Parameter(torch.randn(2, 5, 3)), nn.Parameter(torch.randn(4, 3, 5))

        def forward(self, x):
            for i in (2, 0):
                F.linear(x[:, 0], self.experts[i])
            return torch.bmm(x.transpose(0, 1), self.heads)

    model, data = Experts(), torch.randn(20, 2, 5)
    check(told(model, data, "heads"), model.heads, [(model.heads.mT, data.transpose(0, 1))])
    reached = [1, 0, 1, 0]
    parts = [
        (one[None], times * data[:, :1].transpose(0, 1)) for one, times in zip(model.experts, reached, strict=True)
    ]
    check(told(model, data, "experts"), model.experts, parts)


def test_of_grouped_products_each_expert_reads_its_own_rows():
    class Experts(nn.Module):
        def __init__(self):
            super().__init__()
            self.experts = nn.Parameter(torch.randn(3, 4, 8))

        def forward(self, x):
            return torch._grouped_mm(x, self.experts.mT, offs=torch.tensor([2, 2, len(x)], dtype=torch.int32))

    model, data = Experts(), torch.randn(6, 8)
    read = [data[:2], data[:0], data[2:]]
    parts = [(one[None], rows[None]) for one, rows in zip(model.experts, read, strict=True)]
    check(told(model, data, "experts"), model.experts, parts)
    kinds = of_inputs(model, task_of(data), OF_INPUTS, 6, batch=7)
    for one, size, rows in zip(kinds["input_norm"]["experts"], kinds["input_size"]["experts"], read, strict=True):
        assert torch.allclose(one, rows.norm(dim=0).expand(4, 8))
        assert torch.allclose(size, rows.abs().sum(0).expand(4, 8) / max(1, len(rows)))


def test_there_is_none_of_what_is_computed_or_read_along_both_its_dimensions():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(4, 4))
            self.row = nn.Parameter(torch.randn(1, 4))

        def forward(self, x):
            return F.linear(x, self.weight) @ self.weight + F.linear(x, self.row.expand(4, 4))

    data = torch.randn(20, 4)
    assert told(Both(), data) is None
    assert told(Both(), data, "row") is None
    normed = nn.utils.parametrizations.weight_norm(nn.Linear(4, 3))
    assert told(normed, data, "parametrizations.weight.original1") is None


def test_the_order_is_that_of_use_and_not_of_names():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.last, self.first, self.conv = nn.Linear(4, 2), nn.Linear(4, 4), nn.Conv1d(1, 1, 3, padding=1)

        def forward(self, x):
            return self.last(self.first(self.conv(x[:, None])[:, 0]))

    assert order_of(Net(), task_of(torch.randn(9, 4)), 9, batch=7) == ["conv.weight", "first.weight", "last.weight"]


def test_in_small_pieces_and_batches_it_is_the_same(monkeypatch):
    from prunebench.pruning.evidence import gram

    model, data = nn.Conv2d(2, 3, 3), torch.randn(10, 2, 6, 6)
    usual = told(model, data).parts[0].gram
    monkeypatch.setattr(gram, "VALUES", 500)
    other = gram_of(model, task_of(data), "weight", 10, batch=3).parts[0].gram
    assert (usual - other).abs().max() <= 1e-6 * usual.abs().max()


def test_what_takes_more_memory_than_is_free_is_told_before_it_is_taken(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "MEMORY", tmp_path / "meminfo")
    memory.MEMORY.write_text("MemTotal: 9 kB\nMemAvailable: 3 kB\n", encoding="ascii")
    model, data = nn.Sequential(nn.Linear(11, 3)), torch.randn(20, 11)
    with pytest.raises(ConfigError, match=r"0\.weight reads 11 values, .* free: --exclude '0', or give another"):
        told(model, data, "0.weight")
    assert told(nn.Linear(9, 3), data[:, :9]) is not None
    memory.MEMORY.unlink()
    assert told(model, data, "0.weight") is not None
