"""Influence is 1 − cos(in, out), by position of sequences without padding, by map of images."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from prunebench.data.dataset import Dataset, Split
from prunebench.data.images import ImageTask
from prunebench.data.text import TextTask, train_tokenizer
from prunebench.pruning.blocks.influence import influences


class Turn(nn.Module):
    """Turns what it is given by an angle whose cosine is known, and stretches it."""

    def __init__(self, cosine):
        super().__init__()
        self.cosine = nn.Parameter(torch.tensor(cosine))

    def forward(self, states):
        first, second = states.chunk(2, -1)
        sine = (1 - self.cosine**2).sqrt()
        return 3 * torch.cat([self.cosine * first - sine * second, sine * first + self.cosine * second], -1)


class Text(nn.Module):
    """What a token becomes, and then is turned; padding by another angle, which is not to count."""

    def __init__(self, vocabulary):
        super().__init__()
        self.table, self.first, self.second = nn.Embedding(vocabulary, 4), Turn(0.8), Turn(0.5)
        self.other, self.head = Turn(-1.0), nn.Linear(4, 2)

    def forward(self, input_ids, attention_mask):
        states = self.first(self.table(input_ids))
        return self.head(self.second(states).mean(1))


def task_of_text():
    sentences = ["good", "good " * 7, "bad bad", "bad " * 5]
    return TextTask(
        Dataset(Split(sentences, [1, 1, 0, 0]), Split(sentences, [1, 1, 0, 0]), ["bad", "good"]),
        train_tokenizer(sentences),
        8,
    )


def test_it_is_one_minus_the_cosine_whatever_the_length():
    model = Text(task_of_text().inputs.vocabulary).train()
    found = influences(model, ["first", "second"], task_of_text())
    assert found == pytest.approx({"first": 0.2, "second": 0.5}, abs=1e-6)
    assert model.training


def test_padding_does_not_count(monkeypatch):
    task = task_of_text()
    model = Text(task.inputs.vocabulary)
    with torch.no_grad():
        model.table.weight[0] = 0.0  # padding
        turn = Turn.forward
        monkeypatch.setattr(
            Turn, "forward", lambda self, x: torch.where(x.abs().sum(-1, keepdim=True) == 0, 1.0, turn(self, x))
        )
    assert influences(model, ["first"], task)["first"] == pytest.approx(0.2, abs=1e-6)


def test_of_images_a_map_is_one_vector_and_nothing_in_nothing_out_is_no_change(tiny_task):
    class Halves(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.zeros(3, 1, 1))

        def forward(self, images):
            return images * self.scale

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.keep, self.drop, self.none = Halves(), Halves(), Halves()
            self.keep.scale.data.fill_(2.0)
            self.drop.scale.data[0] = 1.0

        def forward(self, images):
            return self.none(self.drop(self.keep(torch.ones_like(images))) * 0).mean((2, 3))

    assert isinstance(tiny_task, ImageTask)
    found = influences(Model(), ["keep", "drop", "none"], tiny_task)
    assert found == pytest.approx({"keep": 0.0, "drop": 1 - 3**-0.5, "none": 0.0}, abs=1e-6)
