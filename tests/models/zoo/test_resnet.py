import pytest
import torch
import torchvision

from prunebench.models.architecture import models

NAMES = ["resnet18", "resnet50"]


def shapes(model):
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def build(name, stem, classes=1000):
    with torch.device("meta"):
        return models.get(name).build(classes, stem)


@pytest.mark.parametrize("name", NAMES)
def test_the_standard_stem_is_torchvisions(name):
    with torch.device("meta"):
        assert shapes(build(name, "standard")) == shapes(getattr(torchvision.models, name)())


@pytest.mark.parametrize("name", NAMES)
def test_the_small_stem_changes_one_weight_and_keeps_the_resolution(name):
    standard, model = build(name, "standard"), build(name, "small")
    before, after = shapes(standard), shapes(model)
    assert {name for name in before if before[name] != after[name]} == {"conv1.weight"}
    assert after["conv1.weight"] == (64, 3, 3, 3)
    images = torch.empty(2, 3, 32, 32, device="meta")
    assert model.maxpool(model.conv1(images)).shape == (2, 64, 32, 32)
    assert model(images).shape == (2, 1000)


def test_the_small_stem_is_initialised_as_torchvision_initialises_convolutions():
    torch.manual_seed(0)
    weight = models.get("resnet18").build(10, "small").conv1.weight
    assert weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.1)
