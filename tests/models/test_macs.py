"""Multiply-accumulates are those of sums by hand, however a model computes them, and are told by their weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from prunebench.models.input_spec import InputSpec
from prunebench.models.macs import effective, factors, total, uses

STEPS, WIDTH = 48, 16
"""What `Sequence` makes of an image of 16 pixels: 48 steps of 16 values."""

IMAGE = InputSpec(kind="images", size=16)


class Sequence(nn.Module):
    """Rows of an image through a function of some parts."""

    def __init__(self, function, *parts):
        super().__init__()
        self.function, self.parts = function, nn.ModuleList(parts)

    def forward(self, images):
        return self.function(images.flatten(1, 2), *self.parts)


def counted(function, *parts):
    return uses(Sequence(function, *parts), IMAGE)


def heads(x):
    return x.view(1, STEPS, 4, 4).transpose(1, 2)


def attention(x, **about):
    return F.scaled_dot_product_attention(heads(x), heads(x), heads(x), **about)


ATTENTION = 2 * STEPS * STEPS * WIDTH
"""Scores of every step with every step, and the sums that they weigh."""

LINEAR = STEPS * WIDTH * WIDTH


def lstm(gates, layers=1, hidden=8, both=False):
    ways, found, given = 1 + both, 0, WIDTH
    for _ in range(layers):
        found += ways * STEPS * gates * hidden * (given + hidden)
        given = ways * hidden
    return found


LAYERS = {
    "lstm": (lambda x, of: of(x)[0], nn.LSTM(WIDTH, 8, batch_first=True), lstm(4)),
    "lstm of two layers and ways": (
        *(lambda x, of: of(x)[0], nn.LSTM(WIDTH, 8, 2, batch_first=True, bidirectional=True)),
        lstm(4, 2, both=True),
    ),
    "gru": (lambda x, of: of(x)[0], nn.GRU(WIDTH, 8, batch_first=True), lstm(3)),
    "rnn": (lambda x, of: of(x)[0], nn.RNN(WIDTH, 8, batch_first=True), lstm(1)),
    "cell": (lambda x, of: of(x[:, 0])[0], nn.LSTMCell(WIDTH, 8), lstm(4) // STEPS),
    "attention layer": (
        *(lambda x, of: of(x, x, x, need_weights=False)[0], nn.MultiheadAttention(WIDTH, 4, batch_first=True)),
        4 * LINEAR + ATTENTION,
    ),
    "attention layer that returns weights": (
        *(lambda x, of: of(x, x, x)[0], nn.MultiheadAttention(WIDTH, 4, batch_first=True)),
        4 * LINEAR + ATTENTION,
    ),
    "encoder": (
        *(lambda x, of: of(x), nn.TransformerEncoder(nn.TransformerEncoderLayer(WIDTH, 4, 32, batch_first=True), 2)),
        2 * (4 * LINEAR + ATTENTION + 2 * STEPS * WIDTH * 32),
    ),
    "bilinear": (lambda x, of: of(x, x), nn.Bilinear(WIDTH, WIDTH, 3), STEPS * 3 * WIDTH * WIDTH),
    "functional linear": (lambda x, of: F.linear(x, of.weight), nn.Linear(WIDTH, 5), STEPS * WIDTH * 5),
    "functional convolution": (
        *(lambda x, of: F.conv1d(x, of.weight, stride=2), nn.Conv1d(STEPS, 6, 3)),
        7 * 6 * STEPS * 3,
    ),
    "transposed convolution": (lambda x, of: of(x), nn.ConvTranspose1d(STEPS, 6, 3), WIDTH * 6 * STEPS * 3),
    "normed weight": (
        *(lambda x, of: of(x), nn.utils.parametrizations.weight_norm(nn.Linear(WIDTH, 5))),
        STEPS * WIDTH * 5,
    ),
    "bf16": (lambda x, of: autocast(of, x), nn.Linear(WIDTH, 5), STEPS * WIDTH * 5),
    "under torch.compile": (lambda x, of: torch.compile(of)(x), nn.Linear(WIDTH, 5), STEPS * WIDTH * 5),
    "one branch of two": (
        *(lambda x, of: torch.cond(x.sum() < torch.inf, of, lambda x: x[..., :5] * 1, (x,)),),
        nn.Linear(WIDTH, 5),
        STEPS * WIDTH * 5,
    ),
}


def autocast(module, given):
    with torch.autocast("cpu", torch.bfloat16):
        return module(given)


@pytest.mark.parametrize("name", LAYERS)
def test_macs_of_a_layer_are_those_by_hand_and_all_of_its_weights(name):
    function, layer, expected = LAYERS[name]
    found = counted(function, layer)
    assert total(found) == expected
    assert total({names: count for names, count in found.items() if not names}) in (0, ATTENTION, 2 * ATTENTION)


OPERATORS = {
    "fused attention": (attention, ATTENTION),
    "causal attention": (lambda x: attention(x, is_causal=True), ATTENTION),
    "attention with a mask": (lambda x: attention(x, attn_mask=torch.ones(STEPS, STEPS).bool()), ATTENTION),
    "attention of shared heads": (
        lambda x: F.scaled_dot_product_attention(heads(x), heads(x)[:, :2], heads(x)[:, :2], enable_gqa=True),
        ATTENTION,
    ),
    "attention by hand": (lambda x: (heads(x) @ heads(x).mT).softmax(-1) @ heads(x), ATTENTION),
    "einsum": (lambda x: torch.einsum("bsi,bti->bst", x, x), STEPS * STEPS * WIDTH),
    "matmul": (lambda x: x @ x.mT, STEPS * STEPS * WIDTH),
    "matrix and vector": (lambda x: x[0] @ x[0, 0], STEPS * WIDTH),
    "two vectors": (lambda x: x[0, 0] @ x[0, 1], WIDTH),
    "mm": (lambda x: torch.mm(x[0], x[0].T), STEPS * STEPS * WIDTH),
    "addmm": (lambda x: torch.addmm(x.new_zeros(1), x[0], x[0].T), STEPS * STEPS * WIDTH),
    "addmv": (lambda x: torch.addmv(x.new_zeros(1), x[0], x[0, 0]), STEPS * WIDTH),
    "addbmm": (lambda x: torch.addbmm(x.new_zeros(1, 1), x, x.mT), STEPS * STEPS * WIDTH),
    "baddbmm": (lambda x: torch.baddbmm(x.new_zeros(1, 1, 1), x, x.mT), STEPS * STEPS * WIDTH),
    "sums and norms": (lambda x: F.layer_norm(x.relu() + x * x, (WIDTH,)).mean(1), 0),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_macs_of_an_operator_are_those_by_hand_and_of_no_weight(name):
    function, expected = OPERATORS[name]
    assert counted(function) == ({frozenset(): expected} if expected else {})


def test_a_recurrent_layer_of_a_gpu_counts_every_weight_once_a_step():
    layer = nn.LSTM(WIDTH, 8, 2, proj_size=5, bidirectional=True)
    weights, given = list(layer.parameters()), torch.zeros(7, 3, WIDTH)
    by_hand = 21 * sum(weight.numel() for weight in weights if weight.ndim == 2)
    for steps in (given, given.flatten(0, 1)):  # the latter as packed sequences are
        found = list(factors(torch.ops.aten._cudnn_rnn, None, (steps, weights, 5), {}))
        assert sum(count for _, count in found) == by_hand
        assert {id(weight) for (weight,), _ in found} == {id(weight) for weight in weights if weight.ndim == 2}


def test_experts_multiply_the_rows_that_are_theirs():
    ends, half = torch.tensor([4, 8], dtype=torch.int32), torch.bfloat16
    rows, experts = torch.zeros(8, 16, dtype=half), torch.zeros(2, 16, 24, dtype=half)
    cases = [
        ((rows, experts), 8 * 16 * 24),
        ((torch.zeros(2, 8, 16, dtype=half), experts), 2 * 8 * 16 * 24),
        ((torch.zeros(2, 24, 16, dtype=half), rows.T), 24 * 16 * 8),
        ((rows.T, torch.zeros(8, 24, dtype=half)), 16 * 8 * 24),
    ]
    for (first, second), expected in cases:
        cut = None if first.ndim == second.ndim == 3 else ends
        ((_, count),) = factors(torch.ops.aten._grouped_mm, None, (first, second, cut), {})
        assert count == expected


def test_a_weight_is_followed_through_views_and_casts_and_what_is_computed_of_it_alone():
    first, second = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
    names = [frozenset([f"parts.{i}.weight"]) for i in range(2)]
    assert counted(lambda x, a: torch.einsum("bsi,oi->bos", x, a.weight.double().float()), first) == {names[0]: LINEAR}
    assert counted(lambda x, a: x @ a.weight.view(-1).flip(0).view(WIDTH, WIDTH), first) == {names[0]: LINEAR}
    both = counted(lambda x, a, b: x @ (a.weight * b.weight), first, second)
    assert both == {names[0] | names[1]: LINEAR}
    # what depends on the sample is no weight, though a weight is in it
    assert counted(lambda x, a: x @ (x.mT @ (x * a.bias)), first) == {frozenset(): 2 * STEPS * WIDTH * WIDTH}


def test_masked_weights_take_their_share_of_the_macs_along():
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 256, 10))
    found = uses(model, IMAGE)
    masks = {"0.weight": torch.zeros(8, 3, 3, 3).bool(), "3.weight": torch.ones(10, 2048).bool()}
    masks["0.weight"][:2] = True
    masks["3.weight"][0, :48] = False
    assert total(found) == 256 * 216 + 20480
    assert effective(found, masks) == 256 * 54 + 20480 - 48
    assert effective(found, {}) == total(found)
    assert effective(found, {"0.bias": torch.zeros(8).bool()}) == total(found)


def test_a_product_of_two_masked_weights_keeps_the_product_of_their_shares():
    names = frozenset(["a", "b"])
    half, quarter = torch.arange(4) < 2, torch.arange(4) < 1
    assert effective({names: 800, frozenset(["a"]): 10, frozenset(): 7}, {"a": half, "b": quarter}) == 100 + 5 + 7


def test_counting_leaves_modes_and_switches_as_they_were_even_where_the_model_fails():
    def fail(x, *parts):
        raise KeyError("mine")

    model = Sequence(fail, nn.Dropout(), nn.BatchNorm1d(2))
    model.train()
    model.parts[1].eval()
    with pytest.raises(KeyError):
        uses(model, IMAGE)
    assert (model.training, model.parts[0].training, model.parts[1].training) == (True, True, False)
    assert torch.backends.mha.get_fastpath_enabled()
    for enabled in (False, True):
        torch.backends.mha.set_fastpath_enabled(enabled)
        counted(attention)
        assert torch.backends.mha.get_fastpath_enabled() is enabled


def test_attention_that_is_hidden_in_other_kernels_is_counted_as_the_model_computes_it_plainly(fresh):
    state = fresh("bert")
    plain = uses(state.model, state.architecture.inputs)
    state.model.set_attn_implementation("flex_attention")
    assert uses(state.model, state.architecture.inputs) == plain
    assert state.model.config._attn_implementation == "flex_attention"
