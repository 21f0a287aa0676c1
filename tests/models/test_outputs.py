"""Of a model that returns several tensors one is its scores, by a rule or by name."""

from __future__ import annotations

import copy
from collections import namedtuple
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
from torch import fx, nn
from transformers.modeling_outputs import SequenceClassifierOutput

from prunebench.errors import ModelError
from prunebench.models.architecture import Architecture, ModelEntry
from prunebench.models.input_spec import InputSpec, check_forward, check_training, output_of
from prunebench.models.outputs import Choice, choice_of, choose, left_out, scores_in, told
from prunebench.models.taken_over import copied

IMAGES = InputSpec(kind="images", channels=3, size=8)
FEATURES, FIRST, SECOND = torch.zeros(2, 7), torch.ones(2, 10), torch.full((2, 10), 2.0)
Fields = namedtuple("Fields", "features main aux")


@dataclass
class Data:
    features: torch.Tensor
    main: torch.Tensor


def ten(shape):
    return "" if shape == (1, 10) else "ten are asked"


@pytest.mark.parametrize(
    ("out", "key", "scores"),
    [
        (SequenceClassifierOutput(logits=FIRST, hidden_states=(SECOND,)), None, FIRST),
        (SequenceClassifierOutput(logits=FIRST, hidden_states=(SECOND,)), "hidden_states.0", SECOND),
        ({"aux": SECOND, "logits": FIRST}, None, FIRST),
        ({"features": FEATURES, "main": FIRST, "aux": SECOND}, None, FIRST),
        ({"features": FEATURES, "main": FIRST, "aux": SECOND}, "aux", SECOND),
        ((FEATURES, FIRST, SECOND), None, FIRST),
        ((FEATURES, FIRST, SECOND), "2", SECOND),
        ([FEATURES, {"main": FIRST, "aux": SECOND}], "1.aux", SECOND),
        (Fields(FEATURES, FIRST, SECOND), "aux", SECOND),
        (Fields(FEATURES, FIRST, SECOND), "2", SECOND),
        (Data(FEATURES, FIRST), None, FIRST),
        (Data(FEATURES, FIRST), "features", FEATURES),
        (SimpleNamespace(logits=FIRST, aux=SECOND), None, FIRST),
        (SimpleNamespace(logits=FIRST, aux=SECOND), "aux", SECOND),
    ],
)
def test_scores_are_found_by_the_rule_or_by_name(out, key, scores):
    assert scores_in(out, Choice(key, 10), 2) is scores


@pytest.mark.parametrize("key", ["3", "-1", "main.real", "__class__", "features.T", ""])
def test_a_name_is_looked_up_among_the_tensors_and_nowhere_else(key):
    for out in (Fields(FEATURES, FIRST, SECOND), {"main": FIRST}, Data(FEATURES, FIRST)):
        with pytest.raises(ModelError, match=f"^--output {key}: .* it returns .*main"):
            scores_in(out, Choice(key, 10), 2)


def test_what_has_no_scores_stays_as_it_is():
    out = (FEATURES, None)
    assert scores_in(out, Choice(None, 10), 2) is out
    assert told(out) == "a tuple of 2: 0 (2×7)"
    assert told(None) == "NoneType"


class Heads(nn.Module):
    """A tuple of features and a dict of two heads; the auxiliary one only while it trains."""

    def __init__(self, classes=10):
        super().__init__()
        self.body, self.main, self.aux = nn.Conv2d(3, 8, 3), nn.Linear(8, classes), nn.Linear(8, classes)

    def forward(self, images):
        features = self.body(images).relu().mean((2, 3))
        heads = {"main": self.main(features)}
        return features, {**heads, "aux": self.aux(features)} if self.training else heads


def built(output=None):
    architecture = Architecture("heads", {"classes": 10}, IMAGES, output)
    return architecture.build(ModelEntry("heads", "", Heads))


def test_a_built_model_knows_its_scores_and_so_do_its_copies_and_it_returns_what_it_always_did():
    model, example = built("1.main").eval(), IMAGES.example(2)
    for one in (model, copied(model), copy.deepcopy(model)):
        assert choice_of(one) == Choice("1.main", 10)
        assert torch.equal(output_of(one, example), model(example)[1]["main"])
    assert isinstance(model(example), tuple)
    assert "choice" not in str(model.state_dict().keys())


def test_graphs_of_torch_fx_keep_what_was_chosen():
    model = fx.symbolic_trace(nn.Sequential(nn.Flatten(), nn.Linear(192, 10)))
    choose(model, Choice("a", 3))
    assert choice_of(copied(model)) == Choice("a", 3)


def test_what_is_left_out_is_told_with_what_is_not_trained():
    notes = left_out(built(), IMAGES.example(2), training=True)
    assert notes[0].startswith(
        "of what the model returns while it trains, 1.main is taken for its scores, and 0, 1.aux"
    )
    assert notes[1:] == ("not trained, since its scores do not need it: 90 parameters in aux",)
    (note,) = left_out(built(), IMAGES.example(2), training=False)
    assert "aux" not in note
    assert left_out(nn.Sequential(nn.Flatten(), nn.Linear(192, 10)), IMAGES.example(2), training=True) == ()


def test_telling_it_changes_neither_the_model_nor_the_generators():
    model, state = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(), built()), torch.get_rng_state()
    choose(model, Choice(None, 10))
    left_out(model, IMAGES.example(2), training=True)
    assert torch.equal(torch.get_rng_state(), state)
    assert int(model[0].num_batches_tracked) == 0
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_wrong_name_is_refused_with_those_that_there_are():
    with pytest.raises(
        ModelError, match=r"^--output main: the model returns no such tensor; .*0 \(1×8\), 1.main \(1×10\)"
    ):
        check_forward(built("main"), IMAGES, ten, "net")
    with pytest.raises(ModelError, match=r"^net returns shape \(1, 8\) as 0 for one"):
        check_forward(built("0"), IMAGES, ten, "net")
    check_training(built("1.aux"), IMAGES, "net")
    with pytest.raises(ModelError, match=r"^--output 1.aux: the model returns no such tensor"):  # it is not evaluated
        check_forward(built("1.aux"), IMAGES, ten, "net")


def test_a_name_is_refused_where_a_model_returns_one_tensor():
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 10))
    choose(model, Choice("0", 10))
    with pytest.raises(ModelError, match=r"^--output 0: net returns one tensor, so there is nothing to choose"):
        check_forward(model, IMAGES, ten, "net")
