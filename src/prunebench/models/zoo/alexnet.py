"""AlexNet (Krizhevsky 2014, "One weird trick") as torchvision has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunebench.models.architecture import register
from prunebench.models.zoo.torchvision import weights_of

if TYPE_CHECKING:
    from torch import nn


@register(
    "alexnet",
    "AlexNet, 5 conv and 3 linear layers",
    reads="images",
    published=weights_of("alexnet"),
    keeps=("classifier",),
    defaults={
        "image_size": 64,
        "optimizer": "adamw",
        "lr": 5e-4,
        "schedule": "one-cycle",
        "batch_size": 64,
        "epochs": 15,
        "finetune_lr": 3e-4,
    },
    pretrained={"image_size": 224, "optimizer": "sgd", "lr": 1e-3, "finetune_optimizer": "sgd"},
)
def alexnet(classes: int, image_size: int, adapt: bool) -> nn.Module:
    """torchvision's AlexNet. Images need at least 63 pixels.

    Adapted: where no published weights are loaded and the last feature map is smaller than 6×6, the pooled size
    follows it (1×1 at 64 pixels) and so does the input of the first linear layer. Nothing else differs.
    """
    import torchvision

    from prunebench.models.zoo.vgg import fit_pool

    model: nn.Module = torchvision.models.alexnet(num_classes=classes)
    if adapt:
        fit_pool(model, image_size)
    return model
