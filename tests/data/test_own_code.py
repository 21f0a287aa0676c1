"""What a loss or a transform is known by: other code or other values make it another, and nothing else does."""

from __future__ import annotations

import importlib.util
import sys
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.transforms import v2

from prunebench.data.own_code import called, digest_of
from prunebench.errors import DataError

FILE = """
from functools import partial
GAMMA = {gamma}

def focal(logits, targets, gamma=2):
    return logits ** gamma

def closed(gamma):
    def inner(logits, targets):
        return logits ** gamma
    return inner

class Loss:
    def __init__(self, gamma):
        self.gamma = gamma
    def __call__(self, logits, targets):
        return logits ** self.gamma
"""


@pytest.fixture
def made(tmp_path):
    """Makes a module of a file in a folder of its own."""

    def make(gamma=1, folder="one"):
        (tmp_path / folder).mkdir(exist_ok=True)
        path = tmp_path / folder / "losses.py"
        path.write_text(FILE.format(gamma=gamma))
        spec = importlib.util.spec_from_file_location(f"_prunebench_user_{folder}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return make


def test_a_function_is_known_by_its_file_wherever_that_lies(made):
    assert digest_of(made().focal) == digest_of(made(folder="two").focal)
    assert digest_of(made().focal) != digest_of(made(gamma=3, folder="three").focal)
    assert digest_of(made().focal) != digest_of(made().closed)


def test_values_that_are_closed_over_bound_or_held_count(made):
    module = made()
    for of in (
        module.closed,
        module.Loss,
        lambda gamma: module.Loss(gamma).__call__,
        lambda gamma: partial(module.focal, gamma=gamma),
        lambda gamma: partial(F.cross_entropy, weight=torch.full((3,), float(gamma))),
        lambda gamma: nn.BCEWithLogitsLoss(pos_weight=torch.full((3,), float(gamma))),
        lambda gamma: v2.Compose([v2.RandomRotation(gamma), v2.RandomHorizontalFlip()]),
        lambda gamma: v2.ToDtype(torch.float32 if gamma == 2 else torch.uint8),
        lambda gamma: lambda batch: np.roll(batch, gamma),
    ):
        assert digest_of(of(2)) == digest_of(of(2))
        assert digest_of(of(2)) != digest_of(of(4))


def test_code_of_no_file_is_known_by_what_it_does():
    def of(text):
        names = {}
        exec(f"def loss(logits, targets):\n    return {text}", names)
        return names["loss"]

    assert digest_of(of("logits - 1")) == digest_of(of("logits  -  1"))
    assert len({digest_of(of(text)) for text in ("logits - 1", "logits - 2", "logits + 1", "targets - 1")}) == 4


@pytest.mark.parametrize(
    "text",
    [
        "GAMMA = {n}\ndef loss(logits, targets):\n    return logits ** GAMMA",
        "GAMMA = {n}\ndef loss(logits, targets):\n    return (lambda: logits ** GAMMA)()",
        "def power(logits):\n    return logits ** {n}\ndef loss(logits, targets):\n    return power(logits)",
        "class Loss:\n    def __call__(self, logits, targets):\n        return logits ** {n}\nloss = Loss()",
        "class Loss:\n    gamma = {n}\n    def __call__(self, *of):\n        return of[0] ** self.gamma\nloss = Loss()",
        "class A:\n    @property\n    def n(self):\n        return {n}\nclass Loss(A):\n    pass\nloss = Loss()",
        "class Loss:\n    @staticmethod\n    def of(a, b):\n        return a ** {n}\nloss = Loss.of",
        "import torch\ndef loss(a, b):\n    return loss(a, b) if a is b else torch.sum(a) * {n}",
    ],
)
def test_of_a_notebook_what_its_names_stand_for_counts(text, monkeypatch):
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)

    def of(n):
        names = {"__name__": "__main__"}
        exec(compile(text.format(n=n), "/tmp/ipykernel_1/1.py", "exec"), names)
        return digest_of(names["loss"])

    assert of(2) == of(2)
    assert of(2) != of(3)


def test_what_holds_itself_is_known():
    thing = [1]
    thing.append(thing)
    assert digest_of(thing) == digest_of(thing)


def test_what_has_no_value_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(DataError, match=r"^Generator, which a loss or a transform holds, has no value that tells it"):
        digest_of(lambda batch: rng.permutation(batch)[:1])


def test_names_are_told_without_folders(made):
    assert called(nn.CrossEntropyLoss()) == "<CrossEntropyLoss>"
    assert called(partial(F.cross_entropy, label_smoothing=0.1)) == "<cross_entropy(label_smoothing=0.1)>"
