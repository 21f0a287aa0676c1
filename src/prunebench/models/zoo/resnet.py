"""ResNet18 and ResNet50 (He et al. 2016) as torchvision has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from prunebench.errors import ConfigError
from prunebench.models.architecture import register
from prunebench.models.zoo.torchvision import weights_of

if TYPE_CHECKING:
    from torch import nn

PRETRAINED = {
    "image_size": 224,
    "optimizer": "sgd",
    "lr": 1e-3,
    "finetune_optimizer": "sgd",
    "finetune_lr": 1e-3,
}


@register(
    "resnet18",
    "ResNet18, 8 residual blocks of two 3×3 convolutions",
    reads="images",
    published=weights_of("resnet18"),
    defaults={
        "image_size": 32,
        "optimizer": "adamw",
        "lr": 2e-3,
        "schedule": "one-cycle",
        "batch_size": 64,
        "epochs": 10,
        "finetune_lr": 1e-3,
    },
    pretrained=PRETRAINED,
)
def resnet18(classes: int, stem: str = "standard") -> nn.Module:
    """torchvision's ResNet18; `stem="small"` replaces the first layers as `small_stem` says."""
    import torchvision

    return _resnet(torchvision.models.resnet18, classes, stem)


@register(
    "resnet50",
    "ResNet50, 16 residual blocks with bottlenecks",
    reads="images",
    published=weights_of("resnet50"),
    defaults={
        "image_size": 32,
        "optimizer": "adamw",
        "lr": 1e-3,
        "schedule": "one-cycle",
        "batch_size": 64,
        "epochs": 20,
        "finetune_lr": 5e-4,
        "memory_format": "channels_last",
    },
    pretrained={**PRETRAINED, "memory_format": "channels_last"},
)
def resnet50(classes: int, stem: str = "standard") -> nn.Module:
    """torchvision's ResNet50 (stride in the 3×3 convolution); `stem` as in ResNet18."""
    import torchvision

    return _resnet(torchvision.models.resnet50, classes, stem)


def _resnet(build: Callable[..., Any], classes: int, stem: str) -> nn.Module:
    if stem not in ("standard", "small"):
        raise ConfigError(f"--model-arg stem={stem}: the first layers of a ResNet are standard, or small.")
    model = build(num_classes=classes)
    if stem == "small":
        small_stem(model)
    resnet: nn.Module = model
    return resnet


def small_stem(model: Any) -> None:
    """Replace the 7×7 stride-2 convolution and the max-pooling by a 3×3 stride-1 convolution (He et al., CIFAR)."""
    from torch import nn

    model.conv1 = nn.Conv2d(3, model.conv1.out_channels, kernel_size=3, stride=1, padding=1, bias=False)
    nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
    model.maxpool = nn.Identity()
