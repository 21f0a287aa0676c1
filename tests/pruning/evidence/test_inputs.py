"""What weights are multiplied with is found wherever they live, and is the same in batches of any size."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from prunebench.errors import ConfigError
from prunebench.models.input_spec import InputSpec
from prunebench.pruning.evidence import OF_INPUTS, gather, inputs
from prunebench.pruning.methods import unstructured
from prunebench.pruning.registry import Request


class Told:
    """A task of given samples."""

    def __init__(self, data, spec):
        self.data, self.inputs, self.targets = data, spec, self

    def some(self, part, count):
        return torch.arange(min(count, len(self.data)))

    def batches(self, part, chunks, device):
        return ((self.data[chunk], None) for chunk in chunks)


def found(model, data, spec, batch=7):
    return inputs.of_inputs(model.eval(), Told(data, spec), OF_INPUTS, len(data), batch=batch)


@pytest.mark.parametrize("batch", [1, 7, 20])
def test_of_a_linear_layer_they_are_the_norms_and_mean_sizes_of_its_columns(batch, images12):
    model, data = nn.Linear(5, 3), torch.randn(20, 4, 5).add(20).relu() * (torch.rand(20, 4, 5) > 0.3)
    told = found(model, data, images12, batch)
    rows = data.reshape(-1, 5)
    assert torch.allclose(told["input_norm"]["weight"], rows.norm(dim=0).expand(3, 5), rtol=1e-5)
    assert torch.allclose(told["input_size"]["weight"], rows.abs().mean(0).expand(3, 5), rtol=1e-5)
    assert torch.allclose(told["input_variance"]["weight"], rows.var(0, correction=0).expand(3, 5), rtol=1e-5)
    assert torch.allclose(told["input_zeros"]["weight"], (rows == 0).float().mean(0).expand(3, 5), rtol=1e-5)
    assert "bias" not in told["input_norm"]


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("form", [(1, 0, 1), (2, 1, 1), (1, 2, 2)], ids=str)
def test_of_convolutions_they_are_those_of_what_each_place_of_a_kernel_reads(groups, form, images12):
    stride, padding, dilation = form
    model = nn.Conv2d(4, 8, 3, stride, padding, dilation, groups)
    data = torch.randn(10, 4, 9, 8)
    told = found(model, data, images12)
    windows = F.unfold(data, 3, dilation, padding, stride).transpose(1, 2).reshape(-1, groups, 4 // groups, 3, 3)
    norms = windows.norm(dim=0).repeat_interleave(8 // groups, 0)
    assert torch.allclose(told["input_norm"]["weight"], norms, rtol=1e-5)
    sizes = data.abs().mean((0, 2, 3)).view(groups, -1, 1, 1).expand(-1, -1, 3, 3).repeat_interleave(8 // groups, 0)
    assert torch.allclose(told["input_size"]["weight"], sizes, rtol=1e-5)
    spread = data.var((0, 2, 3), correction=0).view(groups, -1, 1, 1).expand(-1, -1, 3, 3)
    assert torch.allclose(told["input_variance"]["weight"], spread.repeat_interleave(8 // groups, 0), rtol=1e-5)
    assert torch.equal(told["input_zeros"]["weight"], torch.zeros_like(sizes))  # padding is not read


@pytest.mark.parametrize("batch", [1, 7])
def test_a_weight_that_is_used_twice_tells_of_all_that_it_reads_as_one(batch, images12):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(5, 5)

        def forward(self, x):
            return self.linear(x), self.linear((3 * x + 2).relu())

    data = torch.randn(20, 5)
    told = found(Twice(), data, images12, batch)
    both = torch.cat([data, (3 * data + 2).relu()])
    assert torch.allclose(told["input_variance"]["linear.weight"][0], both.var(0, correction=0), rtol=1e-5)
    assert torch.allclose(told["input_zeros"]["linear.weight"][0], (both == 0).float().mean(0), rtol=1e-5)


def test_weights_that_are_the_same_for_every_sample_tell_of_all_samples_as_one(images12):
    class Batched(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(5, 3))

        def forward(self, x):
            return torch.bmm(x, self.weight.expand(len(x), 5, 3))

    data = torch.randn(20, 4, 5).relu()
    told, rows = found(Batched(), data, images12), data.reshape(-1, 5)
    assert torch.allclose(told["input_variance"]["weight"][:, 0], rows.var(0, correction=0), rtol=1e-5)
    assert torch.allclose(told["input_zeros"]["weight"][:, 0], (rows == 0).float().mean(0), rtol=1e-5)


def test_of_text_no_padding_is_told_of():
    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.linear = nn.Embedding(9, 4), nn.Linear(4, 3)

        def forward(self, input_ids, attention_mask):
            return self.linear(self.table(input_ids)).mean(1)

    class Texts(Told):
        def batches(self, part, chunks, device):
            for chunk in chunks:
                rows = [self.data[i] for i in chunk.tolist()]
                mask = nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
                yield {"input_ids": nn.utils.rnn.pad_sequence(rows, True), "attention_mask": mask}, None

    texts = [torch.randint(1, 9, (length,)) for length in (3, 5, 3, 2, 5, 5)]
    model = Reader().eval()
    task = Texts(texts, InputSpec(kind="text", vocabulary=9, length=5))
    told = inputs.of_inputs(model, task, OF_INPUTS, 6, batch=2)
    read = [model.table(text).detach() for text in texts]
    norms = torch.cat(read).norm(dim=0)
    assert torch.allclose(told["input_norm"]["linear.weight"], norms.expand(3, 4), rtol=1e-5)
    sizes = torch.stack([each.abs().mean(0) for each in read]).mean(0)
    assert torch.allclose(told["input_size"]["linear.weight"], sizes.expand(3, 4), rtol=1e-5)
    mean, squares = (torch.stack([(each**power).mean(0) for each in read]).mean(0) for power in (1, 2))
    assert torch.allclose(told["input_variance"]["linear.weight"][0], squares - mean.square(), rtol=1e-4)


def test_parts_of_a_weight_are_told_apart_and_turned_ones_found(images12):
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.both, self.turned = nn.Parameter(torch.randn(6, 4)), nn.Parameter(torch.randn(4, 2))

        def forward(self, x):
            first, second = self.both.chunk(2)
            return F.linear(x, first) + F.linear(3 * x, second), x @ self.turned

    data = torch.randn(20, 4)
    told = found(Own(), data, images12)["input_norm"]
    norms = data.norm(dim=0)
    assert torch.allclose(told["both"], torch.cat([norms.expand(3, 4), 3 * norms.expand(3, 4)]), rtol=1e-5)
    assert torch.allclose(told["turned"], norms[:, None].expand(4, 2), rtol=1e-5)


def test_attention_is_told_of_and_what_cannot_be_is_named(images12, tiny_task):
    attention = nn.MultiheadAttention(8, 2, batch_first=True)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = attention

        def forward(self, x):
            return self.attention(x, x, x)[0].mean(1)

    data = torch.randn(9, 5, 8)
    told = found(Net(), data, images12)["input_norm"]
    assert torch.allclose(told["attention.in_proj_weight"], data.reshape(-1, 8).norm(dim=0).expand(24, 8), rtol=1e-5)
    request = Request(0.1, lambda input_norm: input_norm, images12, evidence={"input_norm": {}})
    model, draw = nn.ParameterDict({"a": torch.ones(2, 2)}), torch.Generator()
    with pytest.raises(ConfigError, match=r"What a is multiplied with cannot be told.*--exclude 'a'"):
        request.score(model, "a", draw)


def test_a_function_of_ones_own_may_ask_for_them(tiny_net, tiny_task, images12):
    def product(weight, input_norm):
        return weight.abs() * input_norm

    request = Request(0.5, product, images12, task=tiny_task, scope="layerwise", calibration=20)
    model = tiny_net(3)
    told = gather.evidence_for(model, request)["input_norm"]["classifier.1.weight"]
    scores = model.get_parameter("classifier.1.weight").detach().abs() * told
    mask = unstructured.prune(model, {}, request).masks["classifier.1.weight"]
    assert scores[mask].min() >= scores[~mask].max()
