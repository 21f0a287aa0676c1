"""VGG16 (Simonyan and Zisserman 2015, configuration D) as torchvision has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prunebench.models.architecture import register
from prunebench.models.zoo.torchvision import weights_of

if TYPE_CHECKING:
    from torch import nn


@register(
    "vgg16",
    "VGG16 without batch norm, 13 conv and 3 linear layers",
    reads="images",
    published=weights_of("vgg16"),
    keeps=("classifier",),
    defaults={
        "image_size": 32,
        "optimizer": "adamw",
        "lr": 5e-4,
        "schedule": "one-cycle",
        "batch_size": 64,
        "epochs": 10,
        "clip_norm": 1.0,
        "finetune_lr": 2e-4,
    },
    pretrained={
        "image_size": 224,
        "optimizer": "sgd",
        "lr": 1e-3,
        "clip_norm": 0.0,
        "finetune_optimizer": "sgd",
    },
)
def vgg16(classes: int, image_size: int, adapt: bool) -> nn.Module:
    """torchvision's VGG16. Images need at least 32 pixels.

    Adapted: where no published weights are loaded and the last feature map is smaller than 7×7, the pooled size
    follows it (1×1 at 32 pixels; pooled up to 7×7, the first linear layer would read 49 copies of each number)
    and so does the input of the first linear layer. Nothing else differs.
    """
    import torchvision

    model: nn.Module = torchvision.models.vgg16(num_classes=classes)
    if adapt:
        fit_pool(model, image_size)
    return model


def fit_pool(model: Any, image_size: int) -> None:
    """Let `avgpool` and the first linear layer of a `features, avgpool, classifier` model follow a small input.

    Shapes are found on the meta device, which computes nothing. Raises RuntimeError where the images are too
    small to have a feature map at all.
    """
    import copy

    import torch
    from torch import nn

    with torch.no_grad():
        features = copy.deepcopy(model.features).to("meta")
        _, channels, height, _ = features(torch.empty(1, 3, image_size, image_size, device="meta")).shape
    if height >= model.avgpool.output_size[0]:
        return
    place = next(i for i, layer in enumerate(model.classifier) if isinstance(layer, nn.Linear))
    width = model.classifier[place].out_features
    model.avgpool = nn.AdaptiveAvgPool2d((height, height))
    model.classifier[place] = nn.Linear(channels * height * height, width)
