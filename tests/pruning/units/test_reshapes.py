"""Attention whose code asks for numbers of heads is pruned as it is written: it gets those that are left."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from prunebench.models.input_spec import InputSpec
from prunebench.models.reshaping import Reshaping, reshapings_of
from prunebench.models.sizes import Sizes, restore
from prunebench.pruning.units.find import find
from prunebench.pruning.units.removable import find_removable, take
from prunebench.pruning.units.removal import shapes_of, sizes_of
from prunebench.pruning.units.reshapes import Reshape

IMAGES = InputSpec(kind="images", size=8)


class Attention(nn.Module):
    """Four heads over 16 channels, of which nothing but the code tells."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way, self.qkv, self.out = way, nn.Linear(16, 48), nn.Linear(16, 16)

    def forward(self, x):
        batch, count, width = x.shape
        if self.way == "packed":
            q, k, v = self.qkv(x).reshape(batch, count, 3, 4, width // 4).permute(2, 0, 3, 1, 4)
        elif self.way == "unflatten":
            q, k, v = (part.unflatten(-1, (4, 4)).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        else:
            q, k, v = (part.view(batch, count, 4, 4).transpose(1, 2) for part in self.qkv(x).split(width, -1))
        if self.training:
            x = x.reshape(batch, count, width)
        return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, count, width)) + x


class Net(nn.Module):
    def __init__(self, way: str) -> None:
        super().__init__()
        self.stem, self.attention, self.head = nn.Conv2d(3, 16, 2, 2), Attention(way), nn.Linear(16, 3)

    def forward(self, x):
        return self.head(self.attention(self.stem(x).flatten(2).transpose(1, 2)).mean(1))


class Still(Net):
    """The same, whose attention is in evaluation in training as well."""

    def __init__(self, way: str) -> None:
        super().__init__(way)
        self.attention.train = lambda mode=True: self.attention  # type: ignore[method-assign]
        self.attention.training = False


def heads(found):
    return [(group.modules[0], group.units) for group in found.groups if group.kind == "heads"]


@pytest.mark.parametrize("way", ["packed", "unflatten", "split"])
def test_heads_of_an_attention_go_whose_code_says_how_many_there_are(way):
    model = Still(way)
    found = find_removable(model, IMAGES)
    assert heads(found) == [("attention.qkv", 4)]
    assert {each.module for each in found.bindings} == {"attention"}
    assert found.largest < 1e-12
    assert not found.problem


def test_steps_follow_each_other_and_a_copy_built_anew_is_restored():
    model = Still("packed").eval()
    full = shapes_of(model)
    found = find_removable(model, IMAGES)
    x = torch.randn(2, 3, 8, 8)
    for left in (3, 2, 1):
        take(model, IMAGES, found, {"attention.qkv": [0]})
        assert reshapings_of(model) == {"attention": Reshaping(2, {0: {3: left}, 1: {2: 4 * left}})}
    other = Still("packed").eval()
    restore(other, Sizes.from_json(sizes_of(model, full).to_json()))
    other.load_state_dict(model.state_dict())
    assert torch.equal(model(x), other(x))


def test_heads_stay_where_training_takes_another_path_with_other_calls():
    found = find_removable(Net("packed").eval(), IMAGES)
    assert heads(found) == []
    assert "shape" in next(each.reason for each in found.spared if "attention.qkv" in each.modules)


def test_where_units_stand_in_what_is_asked_for():
    units = find(Still("packed").eval(), IMAGES.example())
    (group,) = (group for group in units.groups if group.kind == "heads")
    assert units.reshapes(group) == (
        Reshape("attention", 0, 2, 3, 4, "attention.qkv", 1),
        Reshape("attention", 1, 2, 2, 16, "attention.qkv", 4),
    )


class Biased(Net):
    """Attention with a table of biases, which it keeps for evaluation, and may ask for by number of heads."""

    def __init__(self, asks: bool) -> None:
        super().__init__("packed")
        self.attention = nn.Identity()
        self.qkv, self.out, self.table = nn.Linear(16, 48), nn.Linear(16, 16), nn.Parameter(torch.randn(4, 64))
        self.kept, self.asks, self.places = None, asks, (torch.arange(256) % 64).view(16, 16)

    def train(self, mode=True):
        self.kept = None
        return super().train(mode)

    def forward(self, x):
        x = self.stem(x).flatten(2).transpose(1, 2)
        q, k, v = self.qkv(x).reshape(len(x), 16, 3, 4, 4).permute(2, 0, 3, 1, 4)
        if self.training or self.kept is None:
            self.kept = self.table[:, self.places]
            self.kept = self.kept.view(4, 16, 16) if self.asks else self.kept
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=self.kept.to(q.dtype))
        return self.head(self.out(out.transpose(1, 2).reshape(len(x), 16, 16)).mean(1))


def test_what_stands_beside_heads_goes_with_them_and_what_was_kept_of_it_is_forgotten():
    model = Biased(asks=False).eval()
    model(torch.randn(1, 3, 8, 8))
    found = find_removable(model, IMAGES)
    assert heads(found) == [("qkv", 4)]
    take(model, IMAGES, found, {"qkv": [1]})
    assert model.kept is None
    assert model(torch.randn(2, 3, 8, 8)).shape == (2, 3)
    assert not model.training


class Keeping(Attention):
    """Asks for more sizes in its first pass, and keeps what comes of it for ever."""

    def __init__(self) -> None:
        super().__init__("packed")
        self.kept = None

    def train(self, mode=True):
        return self

    def forward(self, x):
        self.training = False
        if self.kept is None:
            self.kept = torch.arange(4).view(2, 2)
        return super().forward(x)


class First(Net):
    def __init__(self) -> None:
        super().__init__("packed")
        self.attention = Keeping()


def test_heads_stay_where_a_model_that_is_built_anew_asks_for_others():
    model = First().eval()
    model(torch.randn(1, 3, 8, 8))
    assert heads(find_removable(model, IMAGES)) == [("attention.qkv", 4)]
    found = find_removable(model, IMAGES, build=First)
    assert (heads(found), found.problem) == ([], "")
    assert heads(find_removable(Still("packed").eval(), IMAGES, build=lambda: Still("packed"))) == [
        ("attention.qkv", 4)
    ]


def test_heads_stay_where_a_model_asks_for_them_in_its_first_pass_alone():
    assert heads(find_removable(Biased(asks=True).eval(), IMAGES)) == []
