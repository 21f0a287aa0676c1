"""What is proved is exact, on weights that hide nothing; what is not is spared by name."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from prunebench.pruning.units.copies import fresh
from prunebench.pruning.units.find import find
from prunebench.pruning.units.proof import check, prove


def conv(inputs, outputs, **kwargs):
    return nn.Conv2d(inputs, outputs, 3, padding=1, **kwargs)


def pooled(x):
    return x.mean((2, 3))


def proof_of(model, inputs, **kwargs):
    return prove(model, inputs, find(model, inputs), **kwargs)


def test_a_plain_model_is_proved_and_left_as_it_was(written, images):
    model = written(
        lambda m, x: m.fc(pooled(m.n(m.a(x)).sigmoid())), a=conv(3, 6), n=nn.BatchNorm2d(6), fc=nn.Linear(6, 2)
    )
    before = {name: value.clone() for name, value in model.state_dict().items()}
    proof = proof_of(model, images)
    assert [group.name for group in proof.groups] == ["a"]
    assert (proof.spared, proof.sound, proof.problem) == ((), True, "")
    assert proof.largest < 1e-12
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.training


SPARED = {
    "a size that is written down": lambda h: h * torch.arange(8, dtype=h.dtype).view(1, -1, 1, 1),
    "an order that depends on how many there are": lambda h: h.roll(3, 1),
    "pairs that depend on how many there are": lambda h: F.channel_shuffle(h, 2),
    "a slice that is written down": lambda h: torch.cat([h[:, 5:8], h[:, :5]], 1),
}


@pytest.mark.parametrize("what", SPARED)
def test_a_group_that_fails_is_spared_by_name_and_the_rest_is_proved(what, written, images):
    model = written(
        lambda m, x: m.fc(pooled(m.b(SPARED[what](m.a(x))).relu())), a=conv(3, 8), b=conv(8, 6), fc=nn.Linear(6, 2)
    )
    proof = proof_of(model, images)
    assert [group.name for group in proof.groups] == ["b"]
    assert [spared.modules for spared in proof.spared] == [("a",)]
    assert proof.spared[0].reason
    assert proof.sound


def test_a_group_whose_size_is_asked_for_by_number_is_proved(written, images):
    parts = {"a": conv(3, 8), "b": conv(8, 6), "fc": nn.Linear(6, 2)}
    model = written(
        lambda m, x: m.fc(pooled(m.b(m.a(x).view(x.shape[0], 8, -1).mean(2)[..., None, None]).relu())), **parts
    )
    proof = proof_of(model, images)
    assert [group.name for group in proof.groups] == ["a", "b"]
    assert [(each.module, each.call, each.place, each.each) for each in proof.bindings] == [("", 0, 1, 1)]
    assert proof.sound


class Heads(nn.Module):
    """Attention whose sizes are attributes, of which one only looks like a size."""

    def __init__(self):
        super().__init__()
        self.heads, self.size, self.inner, self.tokens = 4, 5, 20, 4
        self.q, self.k, self.v, self.o = nn.Linear(12, 20), nn.Linear(12, 20), nn.Linear(12, 20), nn.Linear(20, 12)

    def forward(self, x):
        q, k, v = (part(x).view(len(x), -1, self.heads, self.size).transpose(1, 2) for part in (self.q, self.k, self.v))
        out = F.scaled_dot_product_attention(q, k, v).transpose(1, 2)
        return self.o(out.reshape(len(x), -1, self.inner))[:, : self.tokens]


def test_attributes_that_say_sizes_are_found_by_trying(written, images):
    model = written(
        lambda m, x: m.fc(m.h(m.a(x).flatten(2).transpose(1, 2)).mean(1)), a=nn.Conv2d(3, 12, 2, 2), h=Heads()
    )
    model.fc = nn.Linear(12, 2)
    proof = proof_of(model, images)
    assert {group.name: group.kind for group in proof.groups} == {"a": "channels", "h.q": "heads", "h.o": "neurons"}
    assert proof.sound
    assert {(b.module, b.attribute) for b in proof.bindings} == {("h", "heads"), ("h", "inner")}


@pytest.mark.parametrize("first", [True, False])
def test_heads_of_torchs_attention_go(first, written, images):
    model = written(
        lambda m, x: m.fc(m.t(m.a(x).flatten(2).transpose(1, 2)).mean(1)),
        a=nn.Conv2d(3, 8, 2, 2),
        t=nn.TransformerEncoderLayer(8, 4, 12, norm_first=first, batch_first=True),
        fc=nn.Linear(8, 2),
    )
    proof = proof_of(model, images)
    assert {group.name: group.units for group in proof.groups} == {"t.self_attn": 4, "t.linear1": 12}
    assert proof.sound


def test_a_model_in_low_precision_is_proved_in_double(written, images):
    net = nn.Sequential(conv(3, 6), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 2)).bfloat16()
    proof = proof_of(written(lambda m, x: m.net(x.bfloat16()).float(), net=net), images)
    assert [group.name for group in proof.groups] == ["net.0"]
    assert proof.largest < 1e-12


def test_removal_that_changes_nothing_proves_nothing(written, images):
    model = written(lambda m, x: m.fc(pooled(m.a(x))) * 0 + x.mean(), a=conv(3, 6), fc=nn.Linear(6, 2))
    proof = proof_of(model, images)
    assert proof.groups == ()
    assert "nothing is proved" in proof.spared[0].reason


def test_a_model_built_anew_that_is_another_is_no_proof(written, images):
    model = written(lambda m, x: m.fc(pooled(m.a(x))), a=conv(3, 6), fc=nn.Linear(6, 2))
    other = written(lambda m, x: m.fc(pooled(m.a(x)) + 1), a=conv(3, 6), fc=nn.Linear(6, 2))
    assert proof_of(model, images, build=lambda: other).problem == "restored, it gives other outputs"


def test_what_is_asked_for_is_checked_as_it_is(written, images):
    model = written(lambda m, x: m.fc(pooled(m.b(m.a(x).roll(2, 1)))), a=conv(3, 8), b=conv(8, 4), fc=nn.Linear(4, 2))
    groups = find(model, images).groups
    assert check(model, images, groups, {"a": [1, 2], "b": [0]}) is None
    assert "differ" in (check(model, images, groups, {"a": [6]}) or "")


class Squared(nn.Module):
    """A layer whose values grow with every one like it, but for the statistics of its batch norm."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = conv(4, 4), nn.BatchNorm2d(4)

    def forward(self, x):
        values = self.norm(self.conv(x))
        return values + 0.3 * values**2


def test_a_deep_model_is_checked_with_values_of_moderate_size(written, images):
    model = written(lambda m, x: m.fc(pooled(m.body(m.a(x)))), a=conv(3, 4), fc=nn.Linear(4, 2))
    model.body = nn.Sequential(*(Squared() for _ in range(12)))
    groups = find(model.eval(), images).groups
    assert check(model, images, groups, {group.name: [0] for group in groups}) is None


def test_of_two_groups_of_channels_each_is_tried(written, images):
    model = written(
        lambda m, x: m.fc(pooled(m.c(m.b(m.a(x)).roll(2, 1)))),
        a=conv(3, 8),
        b=conv(8, 8, groups=2),
        c=conv(8, 3),
        fc=nn.Linear(3, 2),
    )
    assert [group.name for group in proof_of(model, images).groups] == ["c"]


def test_what_a_model_keeps_in_dicts_and_lists_is_copied_with_it(written, images):
    model = written(lambda m, x: m.fc(pooled(m.a(x)) + m.kept["bias"]), a=conv(3, 6), fc=nn.Linear(6, 2))
    model.kept = {"bias": model.fc.weight.sum() * 0, "places": [torch.arange(3)]}  # no leaf: it cannot be copied
    assert proof_of(model, images).sound
    assert fresh(model).kept["places"][0].dtype == torch.int64


def test_a_model_that_cannot_be_trained_is_proved_without(written, images):
    def forward(m, x):
        x = m.a(x).sigmoid()
        y = m.b(x)
        x += 1  # which the gradient of the sigmoid needs as it was
        return m.fc(pooled(x)) + m.head(pooled(y))

    model = written(forward, a=conv(3, 6), b=conv(6, 4), fc=nn.Linear(6, 2), head=nn.Linear(4, 2))
    proof = proof_of(model, images)
    assert [group.name for group in proof.groups] == ["a", "b"]
    assert (proof.sound, proof.problem) == (True, "")
