import pytest
import torch
import torchvision

from prunebench.errors import ModelError
from prunebench.models.architecture import Architecture
from prunebench.models.input_spec import InputSpec
from prunebench.models.zoo.alexnet import alexnet


def shapes(model):
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize(("size", "adapt"), [(224, True), (224, False), (64, False)])
def test_state_is_torchvisions_unless_a_small_input_is_adapted_to(size, adapt):
    with torch.device("meta"):
        assert shapes(alexnet(1000, size, adapt)) == shapes(torchvision.models.alexnet())


@pytest.mark.parametrize(("size", "pooled"), [(63, 1), (64, 1), (128, 3), (224, 6)])
def test_the_pool_follows_a_small_feature_map(size, pooled):
    with torch.device("meta"):
        model = alexnet(10, size, True)
    assert model.classifier[1].in_features == 256 * pooled**2
    assert model(torch.empty(2, 3, size, size, device="meta")).shape == (2, 10)


def test_nothing_but_the_pool_and_the_first_linear_layer_is_adapted():
    with torch.device("meta"):
        adapted, whole = shapes(alexnet(10, 64, True)), shapes(alexnet(10, 224, True))
    assert {name for name in whole if adapted[name] != whole[name]} == {"classifier.1.weight"}


def test_images_too_small_for_a_feature_map_are_refused():
    arguments = {"classes": 10, "image_size": 62, "adapt": True}
    with pytest.raises(ModelError, match=r"alexnet cannot be built for 62×62 images: .*Try a larger --image-size\."):
        Architecture("alexnet", arguments, InputSpec(kind="images", size=62)).build()
