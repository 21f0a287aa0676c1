"""Experts go with their row of the router, and the rest is chosen among as before."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from prunebench.models.input_spec import InputSpec, output_of
from prunebench.pruning.methods import structured
from prunebench.pruning.units.experts import find_experts
from prunebench.pruning.units.find import find
from prunebench.pruning.units.proof import check, prove

TEXT = InputSpec(kind="text", vocabulary=50, length=8)


class Mixture(nn.Module):
    """Experts of a hidden layer each, two of which read a token, as people write them."""

    def __init__(self, experts=4, width=6, inner=10):
        super().__init__()
        self.router = nn.Linear(width, experts)
        self.experts = Stacked(experts, width, inner)

    def forward(self, x):
        scores, chosen = F.softmax(self.router(x), dim=-1).topk(2, dim=-1)
        return self.experts(x, scores / scores.sum(-1, keepdim=True), chosen)


class Stacked(nn.Module):
    """The experts, one after the other."""

    def __init__(self, experts, width, inner):
        super().__init__()
        self.up = nn.Parameter(torch.randn(experts, inner, width))
        self.down = nn.Parameter(torch.randn(experts, width, inner))

    def forward(self, x, scores, chosen):
        out = torch.zeros_like(x)
        for expert in range(len(self.up)):
            row, place = (chosen == expert).nonzero(as_tuple=True)
            hidden = F.relu(F.linear(x[row], self.up[expert]))
            out.index_add_(0, row, F.linear(hidden, self.down[expert]) * scores[row, place, None])
        return out


@pytest.fixture
def mixture(written):
    torch.manual_seed(0)
    return written(
        lambda m, x: m.out(m.mix(m.first(x))), first=nn.Linear(3, 6), mix=Mixture(), out=nn.Linear(6, 2)
    ).eval()


@pytest.fixture
def tokens():
    return torch.randn(40, 3, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def mixtral():
    """A small Mixtral, as transformers builds it."""
    from transformers import MixtralConfig, MixtralForSequenceClassification

    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 4, "num_key_value_heads": 2}
    few = {"num_hidden_layers": 1, "num_local_experts": 4, "num_experts_per_tok": 2, "max_position_embeddings": 16}

    def build():
        torch.manual_seed(0)
        config = MixtralConfig(vocab_size=50, num_labels=3, pad_token_id=0, **sizes, **few)
        return MixtralForSequenceClassification(config).eval()

    return build


def test_experts_hang_together_with_their_row_of_the_router(mixture, tokens):
    (group,) = find_experts(mixture, tokens)
    assert (group.kind, group.units, group.least) == ("experts", 4, 2)
    places = {(part.parameter, part.dim) for part in group.parts}
    assert places == {("mix.experts.up", 0), ("mix.experts.down", 0), ("mix.router.weight", 0), ("mix.router.bias", 0)}


def test_the_neurons_of_all_experts_go_together(mixture, tokens):
    (group,) = (group for group in find(mixture, tokens).groups if group.kind == "neurons" and group.units == 10)
    assert {(part.parameter, part.dim) for part in group.parts} == {("mix.experts.up", 1), ("mix.experts.down", 2)}


def test_their_removal_is_proved_and_as_many_stay_as_a_token_is_sent_to(mixture, tokens):
    proof = prove(mixture, tokens, find(mixture, tokens), fraction=0.9)
    (group,) = (group for group in proof.groups if group.kind == "experts")
    assert proof.sound, proof.problem
    assert check(mixture, tokens, proof.groups, {group.name: [0, 2]}, proof.bindings) is None


def test_a_router_that_shares_out_otherwise_than_by_its_scores_is_found_out(mixture, tokens):
    mixture.mix.router.register_forward_hook(lambda module, args, out: out.nan_to_num(neginf=0.5))
    proof = prove(mixture, tokens, find(mixture, tokens))
    assert "experts" not in {group.kind for group in proof.groups}


def test_convolutions_beside_a_layer_of_as_many_outputs_are_no_experts(written, images):
    model = written(
        lambda m, x: m.fc(m.conv(x).mean((2, 3))).topk(2).values, conv=nn.Conv2d(3, 5, 3), fc=nn.Linear(5, 5)
    )
    assert find_experts(model, images) == []


def test_a_model_of_transformers_loses_experts_exactly(mixtral, request_for):
    model, whole = mixtral(), mixtral()
    request = request_for(TEXT, 0.3, kinds=("experts",))
    assert structured.count(model, {}, request) == {"experts": 4}
    structured.prune(model, {}, request)
    experts = model.model.layers[0].mlp.experts
    assert (experts.num_experts, experts.down_proj.shape[0], structured.count(model, {}, request)["experts"]) == (
        3,
        3,
        3,
    )
    gate = whole.model.layers[0].mlp.gate
    kept = [i for i in range(4) if (gate.weight[i] == model.model.layers[0].mlp.gate.weight).all(1).any()]
    gone = next(i for i in range(4) if i not in kept)

    def without(x):
        scores = F.linear(x.reshape(-1, 16), gate.weight)
        scores[:, gone] = -torch.inf
        top, chosen = F.softmax(scores.float(), dim=-1).topk(2, dim=-1)
        return scores, top / top.sum(-1, keepdim=True), chosen

    gate.forward = without
    inputs = TEXT.example(4)
    torch.testing.assert_close(output_of(model, inputs), output_of(whole, inputs))


def test_what_runs_in_no_double_precision_is_spared_and_told(written, images):
    def single(m, x):
        if x.dtype is torch.float64:
            raise RuntimeError("no kernel for Double")
        return m.fc(m.conv(x).mean((2, 3)))

    model = written(single, conv=nn.Conv2d(3, 5, 3), fc=nn.Linear(5, 2)).eval()
    proof = prove(model, images, find(model, images))
    assert proof.groups == ()
    assert "does not run in double precision" in proof.spared[0].reason
