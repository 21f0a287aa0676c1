import pytest
import torch
import torchvision
from torch import nn

from prunebench.errors import ModelError
from prunebench.models.architecture import Architecture
from prunebench.models.input_spec import InputSpec
from prunebench.models.zoo.vgg import fit_pool, vgg16


def shapes(model):
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize(("size", "adapt"), [(224, True), (224, False), (32, False)])
def test_state_is_torchvisions_unless_a_small_input_is_adapted_to(size, adapt):
    with torch.device("meta"):
        assert shapes(vgg16(1000, size, adapt)) == shapes(torchvision.models.vgg16())


@pytest.mark.parametrize(("size", "pooled"), [(32, 1), (64, 2), (200, 6), (224, 7)])
def test_the_pool_follows_a_small_feature_map(size, pooled):
    with torch.device("meta"):
        model = vgg16(10, size, True)
    assert model.classifier[0].in_features == 512 * pooled**2
    size_left = model.avgpool(torch.empty(1, 512, max(pooled, 1), max(pooled, 1))).shape[-1]
    assert size_left == pooled


def test_nothing_but_the_pool_and_the_first_linear_layer_is_adapted():
    with torch.device("meta"):
        adapted, whole = shapes(vgg16(10, 32, True)), shapes(vgg16(10, 224, True))
    assert {name for name in whole if adapted[name] != whole[name]} == {"classifier.0.weight"}


def test_images_too_small_for_a_feature_map_are_refused():
    arguments = {"classes": 10, "image_size": 31, "adapt": True}
    with pytest.raises(ModelError, match=r"vgg16 cannot be built for 31×31 images: .*Try a larger --image-size\."):
        Architecture("vgg16", arguments, InputSpec(kind="images", size=31)).build()


def test_fitting_finds_shapes_without_touching_weights_or_batch_norm():
    model = nn.Module()
    model.features = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4))
    model.avgpool = nn.AdaptiveAvgPool2d((7, 7))
    model.classifier = nn.Sequential(nn.Dropout(), nn.Linear(4 * 49, 6), nn.Linear(6, 2))
    before = {name: tensor.clone() for name, tensor in model.features.state_dict().items()}
    fit_pool(model, 9)
    assert model.classifier[1].in_features == 4 * 4 * 4
    for name, tensor in model.features.state_dict().items():
        assert torch.equal(tensor, before[name])
