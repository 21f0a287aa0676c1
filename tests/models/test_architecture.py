from functools import cache, partial

import msgspec
import pytest
import torch
from torch import nn

from prunebench.config import RunConfig, field_types
from prunebench.errors import ConfigError, ModelError
from prunebench.experiment.resolve import resolve
from prunebench.models.architecture import (
    Architecture,
    arguments_told,
    given_arguments,
    models,
    value_of,
)
from prunebench.models.input_spec import InputSpec, output_of

CLASSES = 7
IMAGES = InputSpec(kind="images", size=16)


def by_default(name):
    """The architecture of a registered model on what its resolved config says that it reads."""
    config = resolve(RunConfig(model=name)).settings
    if models.get(name).reads == "text":
        inputs = InputSpec(kind="text", vocabulary=100, length=config.sequence_length)
    else:
        inputs = InputSpec(kind="images", size=config.image_size)
    arguments = {
        "classes": CLASSES,
        "channels": 3,
        "image_size": inputs.size,
        "adapt": True,
        "config": {"vocab_size": 100},
        "given": given_arguments(config.model_arg),
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


def small(classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, classes))


def test_a_users_builder_is_an_entry():
    model = Architecture("small", {"classes": 4, "image_size": 16}, IMAGES).build(models.get(small))
    assert output_of(model, IMAGES.example(2)).shape == (2, 4)


def test_a_users_model_is_copied_for_every_run():
    own = small(4)
    first = Architecture("own", {"classes": 4}, IMAGES).build(models.get(own))
    nn.init.zeros_(first[1].weight)
    second = Architecture("own", {"classes": 4}, IMAGES).build(models.get(own))
    assert torch.equal(second[1].weight, own[1].weight)
    assert second[1].weight.abs().sum() > 0


def fails(classes):
    raise ValueError("seven is unlucky")


def needs_more(depth):
    return nn.Identity()


@pytest.mark.parametrize(
    ("builder", "kind", "message"),
    [
        (fails, ConfigError, r"test_architecture\.py:fails failed: ValueError: seven is unlucky \(.*\.py, line \d+\)"),
        (lambda classes: classes, ModelError, r"mine returned int; a builder returns an nn\.Module\."),
        (needs_more, ConfigError, "asks for an argument 'depth'; it can have: classes"),
    ],
)
def test_a_builder_that_does_not_build_is_told_why(builder, kind, message):
    with pytest.raises(kind, match=message):
        Architecture("mine", {"classes": CLASSES}, IMAGES).build(models.get(builder))


# Arguments that users give


def wide(classes, width=4, bias=True, norm="batch", drop=0.5):
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, width, bias=bias), nn.Linear(width, classes))


WIDE = models.get(wide)


def build(entry, *texts):
    """What an entry builds with these arguments, as `--model-arg` has them."""
    given = given_arguments(arguments_told(entry, texts))
    return Architecture(entry.name, {"classes": 4, "given": given}, IMAGES).build(entry)


def test_a_users_builder_gets_the_arguments_that_it_names():
    assert build(WIDE)[1].out_features == 4
    model = build(WIDE, "width=8", "bias=false")
    assert (model[1].out_features, model[1].bias) == (8, None)
    assert output_of(model, IMAGES.example(2)).shape == (2, 4)


def test_a_resnet_has_the_first_layers_that_are_asked_for():
    entry = models.get("resnet18")
    assert build(entry).conv1.kernel_size == (7, 7)
    assert build(entry, "stem=small").conv1.kernel_size == (3, 3)
    with pytest.raises(ConfigError, match="--model-arg stem=large: the first layers of a ResNet are standard"):
        build(entry, "stem=large")


def test_arguments_are_told_in_order_and_without_those_that_are_the_default():
    assert arguments_told(WIDE, []) == ()
    assert arguments_told(WIDE, ["width=8", "norm=group", "bias=false"]) == ("bias=false", "norm=group", "width=8")
    assert arguments_told(WIDE, ["width=4", "norm=batch", "bias=true", "drop=0.5"]) == ()
    assert arguments_told(models.get("resnet18"), ["stem=standard"]) == ()
    assert arguments_told(models.get(needs_more), ["depth=3"]) == ("depth=3",)


@pytest.mark.parametrize("text", ["width", "=8", "width 8", "2x=8", "", "a-b=1", "a.b=1"])
def test_what_is_no_name_with_a_value_is_refused(text):
    with pytest.raises(ConfigError, match=r"expected NAME=VALUE, such as stem=small\.$"):
        arguments_told(WIDE, [text])


@pytest.mark.parametrize("second", ["width=8", "width=9", "width=4"])
def test_an_argument_is_given_once(second):
    with pytest.raises(ConfigError, match=rf"^--model-arg {second}: width is given twice\.$"):
        arguments_told(WIDE, ["width=8", second])


@pytest.mark.parametrize(
    ("name", "text", "has"),
    [
        ("resnet18", "depth=3", "; it has: stem"),
        ("vgg16", "stem=small", ""),
        *(("resnet18", f"{name}=3", "; it has: stem") for name in ("classes", "channels", "image_size", "config")),
    ],
)
def test_an_argument_that_a_builder_does_not_take_or_has_from_elsewhere_lists_its_own(name, text, has):
    with pytest.raises(ConfigError, match=f"^--model-arg {text}: the builder of {name} has no such argument{has}\\.$"):
        arguments_told(models.get(name), [text])


def test_a_model_itself_has_no_arguments():
    with pytest.raises(ConfigError, match=r"has no such argument\.$"):
        arguments_told(models.get(small(4)), ["width=8"])


def test_a_builder_that_takes_whatever_it_is_given_gets_it_and_not_what_carries_it():
    found = {}

    def any_of(classes, **rest):
        found.update(rest)
        return small(classes)

    entry = models.get(any_of)
    assert arguments_told(entry, ["width=8"]) == ("width=8",)
    build(entry, "width=8")
    assert found == {"width": 8}
    with pytest.raises(ConfigError, match="has no such argument"):
        arguments_told(entry, ["classes=3"])


def test_an_argument_may_be_called_given():
    def build_of(classes, given=3):
        return nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, given), nn.Linear(given, classes))

    assert build(models.get(build_of))[1].out_features == 3
    assert build(models.get(build_of), "given=5")[1].out_features == 5


def test_places_for_any_number_of_arguments_are_none_that_can_be_given():
    def build_of(classes, *layers):
        return small(classes)

    with pytest.raises(ConfigError, match="has no such argument"):
        arguments_told(models.get(build_of), ["layers=3"])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("8", 8),
        ("-8", -8),
        ("0.5", 0.5),
        ("1e-3", 1e-3),
        ("true", True),
        ("false", False),
        ("True", "True"),
        ("small", "small"),
        ('"8"', "8"),
        ("", ""),
        ("a=b", "a=b"),
        ("[1, 2]", "[1, 2]"),
        ("{a = 1}", "{a = 1}"),
        ("2020-01-01", "2020-01-01"),
        ("net.py:build", "net.py:build"),
    ],
)
def test_a_value_is_a_number_or_a_truth_value_as_toml_writes_them_else_text(text, value):
    found = value_of(f"width={text}")
    assert (type(found), found) == (type(value), value)
    assert given_arguments([f"width={text}", "other=1"]) == {"width": value, "other": 1}


@pytest.mark.parametrize("text", ["8", "0.5", "true", "small", "inf", "nan", "-inf"])
def test_what_was_given_is_the_same_in_a_file(text):
    architecture = Architecture("mine", {"classes": 4, "given": given_arguments([f"width={text}"])}, IMAGES)
    assert msgspec.json.decode(msgspec.json.encode(architecture), type=Architecture) == architecture


def fake_of_torchvision(*, weights=None, progress=True, **kwargs):
    """As torchvision's and timm's builders are written."""
    return fake_class(**kwargs)


def fake_class(num_classes=1000, width=4):
    return wide(num_classes, width)


def passing_on(**kwargs):
    return fake_class(**kwargs)


class Own(nn.Module):
    def __init__(self, num_classes=1000, width=4):
        super().__init__()
        self.layers = wide(num_classes, width)

    def forward(self, images):
        return self.layers(images)


@pytest.mark.parametrize("builder", [fake_of_torchvision, fake_class, Own, passing_on, partial(Own, width=4)])
def test_a_builder_of_another_library_is_told_the_number_of_classes(builder):
    entry = models.get(builder)
    assert output_of(build(entry), IMAGES.example(2)).shape == (2, 4)
    assert sum(p.numel() for p in build(entry, "width=9").parameters()) > sum(
        p.numel() for p in build(entry).parameters()
    )


def test_torchvisions_own_builders_are_models():
    model = build(models.get("torchvision.models:resnet34"))
    assert model.fc.out_features == 4
    given = arguments_told(models.get("torchvision.models:vit_b_16"), ["image_size=32", "num_layers=1"])
    assert given == ("image_size=32", "num_layers=1")


def test_what_the_user_gives_goes_before_what_is_offered():
    assert output_of(build(models.get(fake_of_torchvision), "num_classes=7"), IMAGES.example(2)).shape == (2, 7)
    assert output_of(build(models.get(fake_class), "num_classes=7"), IMAGES.example(2)).shape == (2, 7)


def test_a_model_that_is_returned_again_is_refused_since_it_is_trained_and_pruned_by_then():
    entry = models.get(cache(small))
    first = build(entry)
    with pytest.raises(ModelError, match=r"returned the same model again; a builder makes a new one every time\."):
        build(entry)
    del first
