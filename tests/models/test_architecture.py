import msgspec
import pytest
import torch
from torch import nn

from prunebench.config import RunConfig, field_types
from prunebench.errors import ConfigError, ModelError
from prunebench.experiment.resolve import resolve
from prunebench.models.architecture import Architecture, models, takes
from prunebench.models.input_spec import InputSpec, output_of

CLASSES = 7
IMAGES = InputSpec(kind="images", size=16)


def by_default(name):
    """The architecture of a registered model on what its resolved config says that it reads."""
    config = resolve(RunConfig(model=name))
    if models.get(name).reads == "text":
        inputs = InputSpec(kind="text", vocabulary=100, length=config.sequence_length)
    else:
        inputs = InputSpec(kind="images", size=config.image_size)
    arguments = {
        "classes": CLASSES,
        "channels": 3,
        "image_size": inputs.size,
        "adapt": True,
        "stem": config.stem,
        "config": {"vocab_size": 100},
    }
    return Architecture(name, arguments, inputs)


@pytest.fixture(scope="module", params=models.names())
def built(request):
    architecture = by_default(request.param)
    torch.manual_seed(0)
    return architecture, architecture.build()


def test_a_model_gives_one_finite_logit_per_class(built):
    architecture, model = built
    with torch.no_grad():
        logits = output_of(model.eval(), architecture.inputs.example())
    assert logits.shape == (1, CLASSES)
    assert torch.isfinite(logits).all()


def test_every_parameter_takes_part_in_the_output(built):
    architecture, model = built
    output_of(model.train(), architecture.inputs.example(2)).square().sum().backward()
    silent = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    model.zero_grad()
    assert silent == []


def test_weights_depend_on_the_seed_alone(built):
    architecture, model = built
    torch.manual_seed(0)
    again = dict(architecture.build().named_parameters())
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, again[name]), name


def test_an_architecture_is_data(built):
    architecture, _ = built
    assert msgspec.json.decode(msgspec.json.encode(architecture), type=Architecture) == architecture


@pytest.mark.parametrize("name", models.names())
def test_an_entry_carries_a_whole_recipe_in_known_fields(name):
    entry = models.get(name)
    wanted = {"optimizer", "lr", "schedule", "batch_size", "epochs"} | (
        {"image_size"} if entry.reads != "text" else set()
    )
    assert wanted <= set(entry.defaults)
    assert {*entry.defaults, *entry.pretrained} <= set(field_types())
    RunConfig(**entry.defaults)
    RunConfig(**entry.pretrained)


def test_an_entry_knows_what_its_builder_takes():
    assert takes(models.get("resnet18"), "stem")
    assert not takes(models.get("vgg16"), "stem")


def small(classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, classes))


def test_a_users_builder_is_an_entry():
    model = Architecture("small", {"classes": 4, "stem": "standard"}, IMAGES).build(small)
    assert output_of(model, IMAGES.example(2)).shape == (2, 4)


def test_a_users_model_is_copied_for_every_run():
    own = small(4)
    first = Architecture("own", {"classes": 4}, IMAGES).build(own)
    nn.init.zeros_(first[1].weight)
    second = Architecture("own", {"classes": 4}, IMAGES).build(own)
    assert torch.equal(second[1].weight, own[1].weight)
    assert second[1].weight.abs().sum() > 0


def fails(classes):
    raise ValueError("seven is unlucky")


def needs_more(depth):
    return nn.Identity()


@pytest.mark.parametrize(
    ("builder", "kind", "message"),
    [
        (fails, ModelError, r"mine cannot be built for 16×16 images: seven is unlucky\."),
        (lambda classes: classes, ModelError, r"mine returned int; a builder returns an nn\.Module\."),
        (needs_more, ConfigError, "asks for an argument 'depth'; it can have: classes"),
    ],
)
def test_a_builder_that_does_not_build_is_told_why(builder, kind, message):
    with pytest.raises(kind, match=message):
        Architecture("mine", {"classes": CLASSES}, IMAGES).build(builder)
