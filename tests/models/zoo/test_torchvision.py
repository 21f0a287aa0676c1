"""torchvision's models by name: what torchvision says of them, without building them; what is left out, and refused."""

from __future__ import annotations

import warnings

import pytest
import torch
import torchvision
from torchvision.models import get_model_weights

from prunebench.errors import ConfigError, ModelError, UnknownName
from prunebench.models.architecture import Architecture, models
from prunebench.models.fitting import fitted, without_auxiliary
from prunebench.models.input_spec import InputSpec, check_forward, check_training, output_of
from prunebench.models.weight_files import WeightFile

NAMES = torchvision.models.list_models(module=torchvision.models)


def entry_of(name):
    return models.get(f"torchvision:{name}")


def built(name, size=64, *, published=False, classes=3, **given):
    arguments = {"classes": classes, "image_size": size, "adapt": True, "published": published, "given": given}
    return Architecture(f"torchvision:{name}", arguments, InputSpec(kind="images", size=size)).build().eval()


@pytest.mark.usefixtures("no_network")
def test_sizes_and_normalisation_of_every_model_are_those_that_torchvision_says(monkeypatch):
    monkeypatch.setattr(torchvision.models, "get_model", None)
    assert len(NAMES) >= 80
    for name in NAMES:
        said, entry = get_model_weights(name).DEFAULT.transforms(), entry_of(name)
        published = entry.published["default"]
        assert said.crop_size == [entry.defaults["image_size"]], name
        assert published.statistics() == (tuple(said.mean), tuple(said.std)), name
        share, interpolation = published.evaluation()
        assert share == said.crop_size[0] / said.resize_size[0]
        assert interpolation == said.interpolation.value


@pytest.mark.parametrize(
    "name", ["squeezenet1_1", "mobilenet_v3_small", "shufflenet_v2_x0_5", "mnasnet0_5", "vit_b_32"]
)
def test_a_model_is_built_for_the_size_and_the_classes_that_are_asked_for(name):
    model, inputs = built(name), InputSpec(kind="images", size=64)
    assert output_of(model, inputs.example(2)).shape == (2, 3)
    check_training(model, inputs, name)


@pytest.mark.parametrize(("name", "heads"), [("googlenet", ("aux1", "aux2")), ("inception_v3", ("AuxLogits",))])
def test_inceptions_are_built_without_the_heads_of_their_training_and_without_a_warning(name, heads):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = built(name, 96)
    assert not any(getattr(model, head, None) for head in heads)
    check_training(model, InputSpec(kind="images", size=96), name)
    with_heads = built(name, 96, aux_logits=True)
    state = with_heads.state_dict()
    file = without_auxiliary(WeightFile({f"module.{key}": value for key, value in state.items()}), model, heads)
    assert file.notes[0].startswith(f"{', '.join(heads)} left out: heads for training from scratch")
    found = fitted(model, file, 3)
    assert torch.equal(found.tensors["fc.weight"], state["fc.weight"])
    assert without_auxiliary(WeightFile(state), with_heads, heads).notes == ()


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_for_published_weights_inceptions_take_images_as_these_expect_them(name):
    assert not built(name, 96).transform_input
    assert built(name, 96, published=True).transform_input


def test_while_it_trains_a_model_with_auxiliary_heads_gives_its_scores():
    model = built("googlenet", 64, aux_logits=True).train()
    images = InputSpec(kind="images", size=64).example(2)
    assert type(model(images)).__name__ == "GoogLeNetOutputs"
    assert output_of(model, images).shape == (2, 3)


@pytest.mark.parametrize("name", ["squeezenet1_0", "densenet121", "mobilenet_v2", "googlenet"])
def test_for_other_classes_the_classifier_alone_starts_fresh_and_that_is_said(name):
    state = built(name, 64, classes=5).state_dict()
    found = fitted(built(name, 64), WeightFile(state), 3)
    assert {key.split(".")[0] for key in found.fresh} in ({"classifier"}, {"fc"})
    assert len(found.fresh) == 2
    assert found.notes[-1].endswith("starts fresh, since the weights have 5 classes")


def test_a_size_that_it_does_not_run_at_is_told_with_the_one_that_it_is_made_for():
    with pytest.raises(
        ModelError, match=r"^torchvision:vit_b_16 cannot be built for 30×30 .*: give --image-size 224\."
    ):
        built("vit_b_16", 30)
    entry, inputs = entry_of("inception_v3"), InputSpec(kind="images", size=32)
    with pytest.raises(ModelError, match=r"^inception does not run on 32×32 images: .*give --image-size 299\."):
        check_forward(built("inception_v3", 32), inputs, lambda shape: "", "inception", entry.hint(32))


def test_unknown_names_and_arguments_that_load_are_refused():
    with pytest.raises(UnknownName, match=r"Did you mean torchvision:resnet34\?"):
        built("resnet_34")
    for name in ("weights", "weights_backbone", "progress", "num_classes"):
        with pytest.raises(ConfigError, match=f"^--model-arg {name}: "):
            built("squeezenet1_1", **{name: "DEFAULT"})
    with pytest.raises(UnknownName):
        built("fasterrcnn_resnet50_fpn")
    with pytest.raises(ConfigError, match="there are none for torchvision:vit_h_14; give --weights default"):
        entry_of("vit_h_14").published["imagenet"].statistics()
