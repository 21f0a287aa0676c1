import pytest
import torch
from torch import nn

from prunebench.errors import ModelError
from prunebench.models.input_spec import InputSpec, check_forward, check_training, output_of, to

IMAGES = InputSpec(kind="images", channels=3, size=8)
TEXT = InputSpec(kind="text", vocabulary=50, length=12)


@pytest.mark.parametrize("batch", [1, 5])
def test_an_example_has_the_shape_that_is_described(batch):
    images = IMAGES.example(batch)
    assert images.shape == (batch, 3, 8, 8)
    assert images.dtype == torch.float32
    text = TEXT.example(batch)
    assert text["input_ids"].shape == text["attention_mask"].shape == (batch, 12)
    assert text["input_ids"].dtype == torch.int64
    assert 0 <= int(text["input_ids"].min()) <= int(text["input_ids"].max()) < 50


def test_an_example_depends_on_its_seed_alone():
    torch.manual_seed(3)
    first = IMAGES.example(2, seed=1)
    assert torch.equal(first, IMAGES.example(2, seed=1))
    assert not torch.equal(first, IMAGES.example(2, seed=2))


def test_moving_a_batch_casts_images_and_never_token_ids():
    assert to(IMAGES.example(), dtype=torch.bfloat16).dtype == torch.bfloat16
    moved = to(TEXT.example(), device="cpu", dtype=torch.bfloat16)
    assert {tensor.dtype for tensor in moved.values()} == {torch.int64}


def test_inputs_say_what_they_are():
    assert IMAGES.text() == "8×8 images"
    assert TEXT.text() == "sentences of 12 tokens"


class Counts(nn.Module):
    """One logit per class, from the attention mask, in an object as models of transformers return it."""

    def forward(self, input_ids, attention_mask):
        out = nn.Module()
        out.logits = attention_mask.sum(1, keepdim=True).expand(-1, 2)
        return out


def test_logits_are_read_from_tensors_and_from_objects():
    assert output_of(nn.Flatten(), IMAGES.example(2)).shape == (2, 192)
    assert output_of(Counts(), TEXT.example(2)).tolist() == [[12, 12], [12, 12]]


def ten(shape):
    return "" if shape == (1, 10) else "ten are asked"


class Returns(nn.Module):
    """Returns what it was made with."""

    def __init__(self, output):
        super().__init__()
        self.output = output

    def forward(self, images):
        return self.output


@pytest.mark.parametrize(
    ("output", "told"),
    [
        ((torch.zeros(1, 9), torch.zeros(())), r"a tuple of 2: 0 \(1×9\), 1 \(a number\)"),
        ([torch.zeros(1, 9)], r"a list of 1: 0 \(1×9\)"),
        ({"out": torch.zeros(1, 9)}, r"dict: out \(1×9\)"),
        (None, "NoneType"),
    ],
)
def test_a_model_that_returns_no_scores_is_told_what_there_is_instead(output, told):
    with pytest.raises(ModelError, match=f"^net returns {told}; its scores of each class are none of that. .*--output"):
        check_forward(Returns(output), IMAGES, ten, "net")


def test_a_model_that_fits_passes_and_keeps_its_mode():
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(192), nn.Linear(192, 10))
    check_forward(model, IMAGES, ten, "net")
    assert model.training
    assert int(model[1].num_batches_tracked) == 0
    check_forward(model.eval(), IMAGES, ten, "net")
    assert not model.training


def with_variance(value, eps=1e-5):
    """A model whose normalisation layer has this variance."""
    norm = nn.BatchNorm1d(192, eps=eps)
    norm.running_var.fill_(value)
    return nn.Sequential(nn.Flatten(), norm, nn.Linear(192, 10))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(100, 10)), "net does not run on 8×8 images: RuntimeError"),
        (
            nn.Sequential(nn.Flatten(), nn.Linear(192, 9)),
            r"net returns shape \(1, 9\) for one of 8×8 images; ten are asked\.",
        ),
        (
            with_variance(-1.0),
            "net returns NaN or infinite values for one of 8×8 images: its weights, or what its norm",
        ),
        (with_variance(0.0, eps=0.0), "net returns NaN or infinite values"),
    ],
)
def test_a_model_that_does_not_fit_its_data_is_refused(model, message):
    with pytest.raises(ModelError, match=message):
        check_forward(model, IMAGES, ten, "net")


class Learner(nn.Module):
    """Returns or does something else while it trains."""

    def __init__(self, otherwise):
        super().__init__()
        self.layer, self.norm, self.otherwise = nn.Linear(192, 10), nn.BatchNorm1d(10), otherwise

    def forward(self, images):
        scores = self.norm(self.layer(images.flatten(1)))
        return self.otherwise(scores) if self.training else scores


@pytest.mark.parametrize(
    ("otherwise", "message"),
    [
        (lambda scores: (scores.T, scores.T), "net returns a tuple of 2: .* while it trains; .* in training as well"),
        (lambda scores: {"scores": scores.T}, "net returns dict: .* while it trains"),
        (lambda scores: scores @ scores, "net does not train on 8×8 images: RuntimeError"),
    ],
)
def test_a_model_that_does_otherwise_while_it_trains_is_refused(otherwise, message):
    model = Learner(otherwise).eval()
    check_forward(model, IMAGES, ten, "net")
    with pytest.raises(ModelError, match=message):
        check_training(model, IMAGES, "net")


def test_looking_at_training_leaves_the_model_and_the_generators_as_they_were():
    model = nn.Sequential(Learner(lambda scores: scores), nn.Dropout()).eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}, torch.get_rng_state()
    check_training(model, IMAGES, "net")
    assert all(torch.equal(tensor, before[0][name]) for name, tensor in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), before[1])
    assert not model.training
