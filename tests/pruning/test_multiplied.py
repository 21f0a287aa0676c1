"""What is multiplied with data is a weight, wherever it lives; what is added, scaled or looked up is none."""

from __future__ import annotations

import copy
from contextlib import nullcontext

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, parametrize

from prunebench.errors import ModelError
from prunebench.models.input_spec import InputSpec
from prunebench.pruning.multiplied import COMPUTED, LOOKED_UP, OTHERWISE, SCALES, UNUSED, find_weights

IMAGES = InputSpec(kind="images", size=8)
TEXT = InputSpec(kind="text", vocabulary=60, length=12)


class Net(nn.Module):
    """Parts and parameters by name, and a function of them and of rows of 8 values."""

    def __init__(self, forward, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)
        self.function = forward

    def forward(self, images):
        return self.function(self, images.mean(1))


def normal(*shape):
    return nn.Parameter(torch.randn(shape))


def counted(model, inputs=IMAGES):
    found = find_weights(model, inputs)
    return sum(model.get_parameter(name).numel() for name in found.names), found


def test_gpt2_whose_layers_are_conv1d_has_all_its_matrices_but_no_look_up_tables():
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        vocab_size=60, n_positions=40, n_embd=48, n_layer=2, n_head=4, num_labels=10, pad_token_id=0
    )
    weights, found = counted(transformers.GPT2ForSequenceClassification(config), TEXT)
    assert weights == 2 * (48 * 3 * 48 + 48 * 48 + 2 * 48 * 4 * 48) + 48 * 10
    assert found.others == dict.fromkeys(("transformer.wte.weight", "transformer.wpe.weight"), LOOKED_UP)


def test_distilbert_has_its_linear_layers():
    transformers = pytest.importorskip("transformers")
    about = {"dim": 48, "n_layers": 2, "n_heads": 4, "hidden_dim": 80, "max_position_embeddings": 40}
    config = transformers.DistilBertConfig(vocab_size=60, num_labels=10, **about)
    weights, found = counted(transformers.DistilBertForSequenceClassification(config), TEXT)
    assert weights == 2 * (4 * 48 * 48 + 2 * 48 * 80) + 48 * 48 + 48 * 10
    assert set(found.others.values()) == {LOOKED_UP}


def test_an_encoder_of_torch_has_what_attention_reads_with():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    weights, found = counted(Net(lambda s, x: s.inner(x).mean(1), inner=nn.TransformerEncoder(layer, 2)))
    assert weights == 2 * (3 * 8 * 8 + 8 * 8 + 2 * 8 * 16)
    assert "inner.layers.1.self_attn.in_proj_weight" in found.names
    assert found.others == {}


@pytest.mark.parametrize(
    ("layer", "weights"),
    [
        (nn.LSTM(8, 5, batch_first=True, bidirectional=True), 2 * (4 * 5 * 8 + 4 * 5 * 5)),
        (nn.GRU(8, 5, num_layers=2, batch_first=True), 3 * 5 * (8 + 5) + 3 * 5 * (5 + 5)),
        (nn.LSTM(8, 5, batch_first=True, proj_size=3), 4 * 5 * (8 + 3) + 3 * 5),
        (nn.RNN(8, 5, batch_first=True), 5 * (8 + 5)),
    ],
)
def test_recurrent_layers_have_those_of_the_input_and_those_of_the_step_before(layer, weights):
    assert counted(Net(lambda s, x: s.inner(x)[0][:, -1], inner=layer))[0] == weights
    alone = counted(Net(lambda s, x: s.inner(x[:, :1])[0][:, -1], inner=layer))  # of one step, which none is before
    assert alone[0] == weights


@pytest.mark.parametrize(
    ("shape", "use"),
    [
        ((5, 8), lambda w, x: F.linear(x, w)),
        ((8, 5), lambda w, x: x @ w),
        ((5, 8), lambda w, x: torch.einsum("bri,oi->bro", x, w)),
        ((8, 5), lambda w, x: torch.baddbmm(torch.zeros(1, 1, 5), x, w.expand(len(x), -1, -1))),
        ((5, 8, 3), lambda w, x: F.conv1d(x, w)),
        ((8, 5, 3), lambda w, x: F.conv_transpose1d(x, w)),
        ((4, 8, 5), lambda w, x: torch.einsum("bri,eio->bero", x, w).sum(1)),
        ((5, 8, 8), lambda w, x: F.bilinear(x, x, w)),
        ((2, 8, 5), lambda w, x: x @ w[0] + x @ w[1]),
        ((5, 8), lambda w, x: F.linear(x, w.data)),
        ((5, 8), lambda w, x: F.linear(x.bfloat16(), w.bfloat16()).float()),
    ],
    ids=["linear", "matmul", "einsum", "baddbmm", "conv", "transposed", "experts", "bilinear", "parts", "data", "cast"],
)
def test_raw_parameters_are_weights_where_functions_multiply_data_with_them(shape, use):
    assert find_weights(Net(lambda s, x: use(s.w, x), w=normal(*shape)), IMAGES).names == {"w": ()}


def test_what_is_added_scaled_looked_up_or_unused_is_no_weight():
    parts = {"place": normal(1, 8, 8), "scale": normal(1, 8), "rows": normal(4, 8), "table": nn.Embedding(4, 8)}
    parts |= {"fc": nn.Linear(8, 3), "dead": nn.Linear(8, 3), "slopes": nn.PReLU(8)}

    def forward(self, x):
        ids = (x[:, 0, 0] > 0).long()
        return self.fc((x + self.place).mean(1) * self.scale + self.rows[ids] + self.table(ids))

    found = find_weights(Net(forward, **parts), IMAGES)
    assert list(found.names) == ["fc.weight"]
    assert found.others == {
        "place": OTHERWISE,
        "scale": OTHERWISE,
        "rows": LOOKED_UP,
        "table.weight": LOOKED_UP,
        "dead.weight": UNUSED,
    }


def test_a_layer_counts_where_it_reads_what_is_learnt_and_that_does_not():
    def forward(self, x):
        return (self.query(self.learnt) @ self.key(x).transpose(1, 2)).mean(1)

    found = find_weights(Net(forward, learnt=normal(3, 8), query=nn.Linear(8, 4), key=nn.Linear(8, 4)), IMAGES)
    assert list(found.names) == ["query.weight", "key.weight"]
    assert found.others == {"learnt": COMPUTED}


def test_tied_weights_are_one_and_a_table_that_is_a_decoder_too_is_a_weight():
    first, second = nn.Linear(8, 8), nn.Linear(8, 8)
    second.weight = first.weight
    assert counted(Net(lambda s, x: s.b(s.a(x)), a=first, b=second))[0] == 64
    table = nn.Embedding(5, 8)
    decoder = Net(lambda s, x: F.linear(x + s.e((x[..., 0] > 0).long()), s.e.weight), e=table)
    assert find_weights(decoder, IMAGES).names == {"e.weight": ()}


def test_rows_that_are_looked_up_and_then_multiplied_are_a_table_and_rows_in_another_order_are_not():
    looked_up = Net(lambda s, x: s.fc(x @ s.e(torch.arange(8))), e=nn.Embedding(8, 4), fc=nn.Linear(4, 3))
    assert find_weights(looked_up, IMAGES).others == {"e.weight": LOOKED_UP}
    ordered = Net(lambda s, x: x @ s.w[torch.tensor([2, 0, 1, 3, 4, 5, 7, 6])], w=normal(8, 4))
    assert find_weights(ordered, IMAGES).names == {"w": ()}
    picked = Net(lambda s, x: s.w[(x[:, 0, 0] > 0).long()], w=normal(2, 4))
    assert find_weights(picked, IMAGES).others == {"w": LOOKED_UP}


def test_layers_of_a_branch_that_training_alone_takes_are_weights():
    def forward(self, x):
        return self.fc(x + self.extra(x) if self.training else x)

    model = Net(forward, fc=nn.Linear(8, 3), extra=nn.Linear(8, 8))
    assert set(find_weights(model, IMAGES).names) == {"fc.weight", "extra.weight"}


def old(norm):
    def wrap(layer):
        with pytest.warns(FutureWarning) if norm is nn.utils.weight_norm else nullcontext():
            return norm(layer)

    return wrap


@pytest.mark.parametrize(
    ("wrap", "source", "kept"),
    [
        (parametrizations.weight_norm, "a.parametrizations.weight.original1", (0,)),
        (lambda layer: parametrizations.weight_norm(layer, dim=1), "a.parametrizations.weight.original1", (1,)),
        (parametrizations.spectral_norm, "a.parametrizations.weight.original", (None,)),
        (old(nn.utils.weight_norm), "a.weight_v", (0,)),
        (old(nn.utils.spectral_norm), "a.weight_orig", (None,)),
    ],
    ids=["weight norm", "along columns", "spectral norm", "old weight norm", "old spectral norm"],
)
def test_a_normed_weight_is_pruned_at_its_source_of_which_each_slice_keeps_one(wrap, source, kept):
    found = find_weights(Net(lambda s, x: s.a(x), a=wrap(nn.Linear(8, 6))), IMAGES)
    assert found.names == {source: kept}
    assert set(found.others.values()) <= {SCALES}


def test_of_weights_of_one_column_the_direction_is_pruned_and_not_the_length():
    model = nn.Sequential(nn.Flatten(0, 2), nn.Unflatten(0, (-1, 1)), parametrizations.weight_norm(nn.Linear(8, 1)))
    assert list(find_weights(model, IMAGES).names) == ["2.parametrizations.weight.original1"]
    narrow = Net(lambda s, x: s.a(x[..., :1]), a=parametrizations.weight_norm(nn.Linear(1, 4)))
    found = find_weights(narrow, IMAGES)
    assert list(found.names) == ["a.parametrizations.weight.original1"]
    assert found.others == {"a.parametrizations.weight.original0": SCALES}


class Centred(nn.Module):
    """A parametrization after which nothing is zero where its source is."""

    def forward(self, weight):
        return weight - weight.mean(1, keepdim=True)


class Scaled(nn.Module):
    """A parametrization that keeps zeros."""

    def forward(self, weight):
        return F.normalize(weight, dim=1) * 3


def test_sources_whose_zeros_are_no_zeros_of_the_weight_are_no_weights():
    layer = nn.Linear(8, 6)
    parametrize.register_parametrization(layer, "weight", Centred())
    for part in (layer, parametrizations.orthogonal(nn.Linear(8, 6))):
        found = find_weights(Net(lambda s, x: s.a(x), a=part), IMAGES)
        assert found.names == {}
        assert found.others == {"a.parametrizations.weight.original": COMPUTED}


class Inverse(nn.Module):
    """A parametrization that fails where too much is zero."""

    def forward(self, weight):
        return torch.linalg.inv(weight)


def test_a_source_of_which_nothing_can_be_computed_once_it_has_zeros_is_no_weight():
    layer = nn.Linear(8, 8)
    parametrize.register_parametrization(layer, "weight", Inverse(), unsafe=True)
    found = find_weights(Net(lambda s, x: s.a(x), a=layer), IMAGES)
    assert found.others == {"a.parametrizations.weight.original": COMPUTED}


def test_a_weight_that_is_put_together_in_place_is_one():
    def forward(self, x):
        whole = torch.zeros_like(self.w)
        whole[:2] = self.w[:2] * 2
        whole[2:] = self.w[2:]
        return F.linear(x, whole)

    assert find_weights(Net(forward, w=normal(5, 8)), IMAGES).names == {"w": ()}


def test_sources_of_own_parametrizations_that_keep_zeros_are_weights():
    layer = nn.Linear(8, 6)
    parametrize.register_parametrization(layer, "weight", Scaled())
    found = find_weights(Net(lambda s, x: s.a(x), a=layer), IMAGES)
    assert found.names == {"a.parametrizations.weight.original": ()}


def test_a_weight_that_is_rounded_or_masked_when_it_is_used_is_one_though_it_has_zeros_of_its_own():
    rounded = Net(lambda s, x: F.linear(x, (s.w * 4).round() / 4), w=normal(5, 8))
    masked = Net(lambda s, x: F.linear(x, s.w * (torch.arange(40) % 2).view(5, 8)), w=normal(5, 8))
    assert find_weights(rounded, IMAGES).names == find_weights(masked, IMAGES).names == {"w": ()}


def test_a_filter_that_is_repeated_is_a_weight_and_a_sum_of_two_matrices_is_none():
    repeated = Net(lambda s, x: F.conv1d(x, s.w.repeat(4, 1, 1) * 0.5, groups=2), w=normal(2, 4, 3))
    assert find_weights(repeated, IMAGES).names == {"w": ()}
    low_rank = Net(lambda s, x: F.linear(x, s.w + s.up @ s.down), w=normal(5, 8), up=normal(5, 2), down=normal(2, 8))
    assert find_weights(low_rank, IMAGES).others == dict.fromkeys(("w", "up", "down"), COMPUTED)
    joined = Net(lambda s, x: F.linear(x, torch.cat([s.one, s.other])), one=normal(5, 8), other=normal(3, 8))
    assert find_weights(joined, IMAGES).names == {"one": (), "other": ()}


KEEP = {
    "transpose": lambda w: w.t().contiguous().t(),
    "scale": lambda w: w * 0.3,
    "permute": lambda w: w[torch.arange(len(w)).flip(0)],
    "view": lambda w: w.reshape(-1).view(w.shape),
    "tanh": lambda w: w.tanh(),
    "normed": lambda w: w / w.norm(dim=1, keepdim=True).clamp(min=1e-6),
    "double": lambda w: w.double().to(w.dtype),
}
MIX = {
    "centre": lambda w: w - w.mean(),
    "rotate": lambda w: w @ torch.linalg.qr(torch.ones(w.shape[1], w.shape[1]) + torch.eye(w.shape[1])).Q,
    "softmax": lambda w: w.softmax(1),
    "shift": lambda w: w + 1,
    "neighbours": lambda w: w + w.roll(1, 1),
}


@given(
    names=st.lists(st.sampled_from([*KEEP, *MIX]), max_size=4),
    shape=st.tuples(st.integers(2, 6), st.just(8)),
)
def test_a_parameter_is_a_weight_exactly_where_its_zeros_reach_the_product(names, shape):
    def forward(self, x):
        weight = self.w
        for name in names:
            weight = (KEEP | MIX)[name](weight)
        return F.linear(x, weight)

    model = Net(forward, w=normal(*shape))
    is_weight = not set(names) & MIX.keys()
    assert ("w" in find_weights(model, IMAGES).names) is is_weight
    if is_weight:
        with torch.no_grad():
            model.w[:, ::2] = 0  # with every other column zero the product depends on the others alone
            weight = model.w
            for name in names:
                weight = KEEP[name](weight)
        assert int((weight == 0).sum()) == shape[0] * 4


def test_what_is_found_depends_on_no_values_and_nothing_is_changed():
    layer = parametrizations.spectral_norm(nn.Linear(8, 6))
    model = nn.Sequential(layer, nn.Dropout(0.5), nn.BatchNorm2d(3), nn.Linear(6, 4)).train()
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    found = find_weights(model, IMAGES)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(module.training for module in model.modules())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert find_weights(model, IMAGES) == found


def test_a_model_that_casts_for_itself_is_followed_and_one_that_fails_is_refused():
    half = Net(lambda s, x: s.a(x.bfloat16()).float(), a=nn.Linear(8, 6).bfloat16())
    assert find_weights(half, IMAGES).names == {"a.weight": ()}
    with pytest.raises(ModelError, match="does not run on 8×8 images"):
        find_weights(Net(lambda s, x: s.a(x), a=nn.Linear(9, 6)), IMAGES)
